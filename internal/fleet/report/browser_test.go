package report_test

import (
	"bufio"
	"bytes"
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

// browser is a headless Chromium that shows one page.
type browser struct {
	t       *testing.T
	in      *os.File
	session string

	mu      sync.Mutex
	next    int
	answers map[int]chan json.RawMessage
	events  map[string][]json.RawMessage // by method
	changed chan struct{}
}

// message is one of the DevTools protocol, which passes through pipes, each ended by a
// zero byte. https://chromedevtools.github.io/devtools-protocol/
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

// open starts Chromium, or skips the test if there is none, and loads the page.
func open(t *testing.T, page string, width, height int) *browser {
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
	file := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(file, []byte(page), 0o600))

	childIn, in, err := os.Pipe()
	require.NoError(t, err)
	out, childOut, err := os.Pipe()
	require.NoError(t, err)
	profile, err := os.MkdirTemp("", "kubestep-chromium-")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{childIn, childOut} // 3 and 4
	require.NoError(t, cmd.Start())
	_, _ = childIn.Close(), childOut.Close()

	b := &browser{t: t, in: in, answers: map[int]chan json.RawMessage{}, events: map[string][]json.RawMessage{}, changed: make(chan struct{}, 1)}
	go b.read(out)
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
		_ = out.Close()
		_ = os.RemoveAll(profile)
	})
	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Network", "Log", "Runtime"} {
		b.call(domain+".enable", map[string]any{}, nil)
	}
	b.resize(width, height)
	b.call("Page.navigate", map[string]any{"url": "file://" + file}, nil)
	b.wait("Page.loadEventFired")
	return b
}

func (b *browser) read(out *os.File) {
	messages := bufio.NewReader(out)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			message
			Params json.RawMessage `json:"params"`
		}
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		if m.ID != 0 {
			if m.Error != nil {
				b.t.Errorf("Chromium refuses: %s", m.Error)
			}
			b.answers[m.ID] <- m.Result
		} else {
			b.events[m.Method] = append(b.events[m.Method], m.Params)
			select {
			case b.changed <- struct{}{}:
			default:
			}
		}
		b.mu.Unlock()
	}
}

func (b *browser) call(method string, params map[string]any, into any) {
	b.t.Helper()
	b.mu.Lock()
	b.next++
	answer := make(chan json.RawMessage, 1)
	b.answers[b.next] = answer
	text, err := json.Marshal(message{ID: b.next, SessionID: b.session, Method: method, Params: params})
	b.mu.Unlock()
	require.NoError(b.t, err)
	_, err = b.in.Write(append(text, 0))
	require.NoError(b.t, err)
	select {
	case result := <-answer:
		if into != nil {
			require.NoError(b.t, json.Unmarshal(result, into))
		}
	case <-time.After(time.Minute):
		require.FailNow(b.t, "Chromium does not answer "+method)
	}
}

// seen returns the events of a method so far.
func (b *browser) seen(method string) []json.RawMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]json.RawMessage{}, b.events[method]...)
}

func (b *browser) wait(method string) {
	b.t.Helper()
	for len(b.seen(method)) == 0 {
		select {
		case <-b.changed:
		case <-time.After(time.Minute):
			require.FailNow(b.t, "Chromium does not tell of "+method)
		}
	}
}

func (b *browser) resize(width, height int) {
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// evaluate evaluates a JavaScript expression in the page.
func evaluate[T any](b *browser, format string, args ...any) T {
	b.t.Helper()
	var result struct {
		Result           struct{ Value T }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": fmt.Sprintf(format, args...), "returnByValue": true, "awaitPromise": true}, &result)
	require.Empty(b.t, string(result.ExceptionDetails))
	return result.Result.Value
}

// names returns the clusters that the table shows, in order.
func (b *browser) names() string {
	b.t.Helper()
	return strings.Join(evaluate[[]string](b, `[...document.querySelectorAll("tbody tr")].filter((tr) => tr.checkVisibility()).map((tr) => tr.cells[0].textContent)`), " ")
}

func (b *browser) click(selector string) {
	b.t.Helper()
	evaluate[any](b, "document.querySelector(%q).click()", selector)
}
