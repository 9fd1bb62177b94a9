// Package etcd runs etcd inside the process.
package etcd

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

const (
	// Endpoint is the socket for the API server. It is in the working directory because the path of a Unix socket has at most
	// about 100 bytes, and directories may have longer ones. Who may enter the directory may use it.
	Endpoint = "unix://" + clientSocket

	clientSocket = "etcd.sock"
	peerSocket   = "etcd-peer.sock"
	dataDir      = "etcd"

	startTimeout = 30 * time.Second
)

// Start runs etcd on the data in the working directory, and returns when it is ready.
func Start(ctx context.Context, logFile string) (*embed.Etcd, error) {
	// A second etcd would replace the first one's socket before it detects that the data is in use.
	var dialer net.Dialer
	if conn, err := dialer.DialContext(ctx, "unix", clientSocket); err == nil {
		_ = conn.Close()
		dir, _ := os.Getwd()
		return nil, fmt.Errorf("a control plane runs on the data in %s already", dir)
	}

	config := embed.NewConfig()
	config.Dir = dataDir
	config.LogLevel = "warn"
	config.LogOutputs = []string{logFile}
	config.EnableGRPCGateway = false
	// The data must survive the process, but not a power failure.
	config.UnsafeNoFsync = true
	// The only member advertises itself to no other, but the field is required.
	nowhere := []url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}
	config.ListenClientUrls = []url.URL{{Scheme: "unix", Host: clientSocket}}
	config.ListenPeerUrls = []url.URL{{Scheme: "unix", Host: peerSocket}}
	config.AdvertiseClientUrls = nowhere
	config.AdvertisePeerUrls = nowhere
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err = <-etcd.Err():
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startTimeout):
		err = fmt.Errorf("not ready after %s, see %s", startTimeout, filepath.Base(logFile))
	}
	etcd.Close()
	return nil, fmt.Errorf("start etcd: %w", err)
}
