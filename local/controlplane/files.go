package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
)

const (
	certFile   = "apiserver.crt"
	keyFile    = "apiserver.key"
	tokenFile  = "tokens.csv"
	egressFile = "egress.yaml"
	admin      = "admin"
)

// files are the files that the parts of a control plane share, in its folder, readable by their owner only.
type files struct{ dir string }

func (f files) path(name string) string { return filepath.Join(f.dir, name) }

func (f files) kubeconfig(user string) string { return f.path(user + ".kubeconfig") }

func (f files) write(name string, content []byte) error {
	if err := os.WriteFile(f.path(name), content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// certificate returns the CA of the API server's certificate. It creates both if they do not exist, or if newCA is set.
func (f files) certificate(newCA bool) ([]byte, error) {
	chain, err := os.ReadFile(f.path(certFile))
	if newCA || errors.Is(err, os.ErrNotExist) {
		var key []byte
		chain, key, err = cert.GenerateSelfSignedCertKey(host, []net.IP{net.ParseIP(host)}, []string{loopbackName})
		if err == nil {
			err = errors.Join(f.write(certFile, chain), f.write(keyFile, key))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make the API server's certificate: %w", err)
	}
	certificates, err := cert.ParseCertsPEM(chain)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", certFile, err)
	}
	ca, err := cert.EncodeCertificates(certificates[len(certificates)-1])
	if err != nil {
		return nil, fmt.Errorf("read the CA in %s: %w", certFile, err)
	}
	return ca, nil
}

// users writes a kubeconfig for each administrator, with the URL of the cluster and a token of its own.
func (f files) users(cluster string, ca []byte, users map[string]string) error {
	var tokens []byte
	for user, server := range users {
		token := rand.Text()
		tokens = fmt.Appendf(tokens, "%s,%s,%s,system:masters\n", token, user, user)
		config := api.NewConfig()
		config.Clusters[cluster] = &api.Cluster{Server: server, CertificateAuthorityData: ca}
		config.AuthInfos[user] = &api.AuthInfo{Token: token}
		config.Contexts[cluster] = &api.Context{Cluster: cluster, AuthInfo: user}
		config.CurrentContext = cluster
		if err := clientcmd.WriteToFile(*config, f.kubeconfig(user)); err != nil {
			return fmt.Errorf("write the kubeconfig of %s: %w", user, err)
		}
	}
	return f.write(tokenFile, tokens)
}
