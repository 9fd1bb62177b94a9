package report_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser is a headless Chromium.
type browser struct {
	in *os.File

	mu      sync.Mutex // guards what follows
	next    int
	answers map[int]chan message
	tabs    map[string]*tab // by session
}

// tab shows one page.
type tab struct {
	*browser
	t       *testing.T
	session string
	changed chan struct{}
	events  map[string][]json.RawMessage // by method
}

// message is one of the DevTools protocol, which passes through pipes, each ended by a
// zero byte. https://chromedevtools.github.io/devtools-protocol/
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

// startBrowser starts Chromium, or skips the test if there is none.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium is installed, so nobody looks at the page: apt-get install chromium")
	}
	childIn, in, err := os.Pipe()
	require.NoError(t, err)
	out, childOut, err := os.Pipe()
	require.NoError(t, err)
	profile, err := os.MkdirTemp("", "kubestep-chromium-")
	require.NoError(t, err)
	cmd := exec.CommandContext(context.Background(), program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{childIn, childOut} // 3 and 4
	require.NoError(t, cmd.Start())
	_, _ = childIn.Close(), childOut.Close()

	b := &browser{in: in, answers: map[int]chan message{}, tabs: map[string]*tab{}}
	go b.read(out)
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
		_ = out.Close()
		_ = os.RemoveAll(profile)
	})
	return b
}

// open loads the page in a tab.
func (b *browser) open(t *testing.T, page string, width, height int) *tab {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(file, []byte(page), 0o600))

	p := &tab{browser: b, t: t, changed: make(chan struct{}, 1), events: map[string][]json.RawMessage{}}
	var target struct{ TargetID, SessionID string }
	p.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	p.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.mu.Lock()
	p.session = target.SessionID
	b.tabs[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Network", "Log", "Runtime"} {
		p.call(domain+".enable", map[string]any{}, nil)
	}
	p.resize(width, height)
	p.call("Page.navigate", map[string]any{"url": "file://" + file}, nil)
	p.wait("Page.loadEventFired")
	return p
}

func (b *browser) read(out *os.File) {
	messages := bufio.NewReader(out)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		if m.ID != 0 {
			b.answers[m.ID] <- m
		} else if p, open := b.tabs[m.SessionID]; open {
			p.events[m.Method] = append(p.events[m.Method], m.Params)
			select {
			case p.changed <- struct{}{}:
			default:
			}
		}
		b.mu.Unlock()
	}
}

func (p *tab) call(method string, params map[string]any, into any) {
	p.t.Helper()
	encoded, err := json.Marshal(params)
	require.NoError(p.t, err)
	p.mu.Lock()
	p.next++
	answer := make(chan message, 1)
	p.answers[p.next] = answer
	text, err := json.Marshal(message{ID: p.next, SessionID: p.session, Method: method, Params: encoded})
	p.mu.Unlock()
	require.NoError(p.t, err)
	_, err = p.in.Write(append(text, 0))
	require.NoError(p.t, err)
	select {
	case m := <-answer:
		require.Empty(p.t, string(m.Error), "Chromium refuses "+method)
		if into != nil {
			require.NoError(p.t, json.Unmarshal(m.Result, into))
		}
	case <-time.After(time.Minute):
		require.FailNow(p.t, "Chromium does not answer "+method)
	}
}

// seen returns the events of a method so far.
func (p *tab) seen(method string) []json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]json.RawMessage{}, p.events[method]...)
}

func (p *tab) wait(method string) {
	p.t.Helper()
	for len(p.seen(method)) == 0 {
		select {
		case <-p.changed:
		case <-time.After(time.Minute):
			require.FailNow(p.t, "Chromium does not tell of "+method)
		}
	}
}

func (p *tab) resize(width, height int) {
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// evaluate evaluates a JavaScript expression in the page.
func evaluate[T any](p *tab, format string, args ...any) T {
	p.t.Helper()
	var result struct {
		Result           struct{ Value T }
		ExceptionDetails json.RawMessage
	}
	p.call("Runtime.evaluate", map[string]any{"expression": fmt.Sprintf(format, args...), "returnByValue": true, "awaitPromise": true}, &result)
	require.Empty(p.t, string(result.ExceptionDetails))
	return result.Result.Value
}

// names returns the clusters that the table shows, in order.
func (p *tab) names() string {
	p.t.Helper()
	return strings.Join(evaluate[[]string](p, `[...document.querySelectorAll("tbody tr")].filter((tr) => tr.checkVisibility()).map((tr) => tr.cells[0].textContent)`), " ")
}

func (p *tab) click(selector string) {
	p.t.Helper()
	evaluate[any](p, "document.querySelector(%q).click()", selector)
}
