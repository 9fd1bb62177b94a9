package kube_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// get sends a request to the cluster, as a workflow does.
func get(ctx context.Context, cluster contract.Cluster) error {
	conn, err := kubetest.Connector.Connect(kubetest.Session(cluster))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Get().AbsPath("/api").MaxRetries(0).Do(ctx).Error(); err != nil {
		return conn.Explain(err, "look")
	}
	return nil
}

// closed is an Opener that fails.
type closed struct{}

func (closed) Open(string, bearer.Binding) (bearer.Token, error) {
	return bearer.Token{}, contract.Errorf(contract.Unauthorized, "it does not open")
}

func TestConnectOpensTheSealForThisExecutionAndCluster(t *testing.T) {
	var asked http.Header
	cluster := kubetest.Serve(t, func(_ http.ResponseWriter, r *http.Request) { asked = r.Header })
	require.NoError(t, get(t.Context(), cluster))
	assert.Equal(t, "Bearer "+kubetest.Token, asked.Get("Authorization"))
	assert.Equal(t, "kubestep/nightly", asked.Get("User-Agent"), "an audit log leads back to the execution")

	t.Run("and sends nothing if it does not open", func(t *testing.T) {
		_, err := kube.Connector{Opener: closed{}}.Connect(kubetest.Session(cluster))
		assertNamed(t, contract.Unauthorized, err)
	})
	t.Run("nor if the endpoint is not https", func(t *testing.T) {
		plain := cluster
		plain.Endpoint = strings.Replace(cluster.Endpoint, "https://", "http://", 1)
		_, err := kubetest.Connector.Connect(kubetest.Session(plain))
		assertNamed(t, contract.Unexpected, err)
	})
	t.Run("with HTTP/2, so that many requests share a connection", func(t *testing.T) {
		var proto string
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proto = r.Proto }))
		server.EnableHTTP2 = true
		require.NoError(t, get(t.Context(), kubetest.ServeOn(t, server)))
		assert.Equal(t, "HTTP/2.0", proto)
	})
	t.Run("with a user agent that is a header, whatever the execution's name", func(t *testing.T) {
		s := kubetest.Session(cluster)
		s.Execution = "arn:aws:states:eu-west-1:111122223333:execution:m:Läuf (1)\r\n"
		conn, err := kubetest.Connector.Connect(s)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.Get().AbsPath("/api").Do(t.Context()).Error())
		assert.Regexp(t, `^kubestep/L-+uf--1---$`, asked.Get("User-Agent"))
	})
}

func TestEveryAnswerOfAClusterHasAName(t *testing.T) {
	refuse := func(code int32) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { kubetest.Refuse(w, code, "", "said the server") }
	}
	says := func(code int32, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { kubetest.Refuse(w, code, "", message) }
	}
	for sentence, c := range map[string]struct {
		answer http.HandlerFunc
		name   contract.ErrorName
		text   string
	}{
		"200": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }, "", ""},
		"400": {refuse(400), contract.InvalidInput, "said the server"},
		"401": {refuse(401), contract.Unauthorized, "aws eks create-access-entry --region eu-west-1 --cluster-name demo --principal-arn arn:aws:iam::111122223333:role/path/reader --kubernetes-groups kubestep-pod-readers"},
		"403": {refuse(403), contract.Forbidden, "said the server"},
		"404": {refuse(404), contract.ClusterUnreachable, "answered 404 to a request to look, which the API server of cluster demo serves: said the server. Check what answers there"},
		"405": {refuse(405), contract.ClusterUnreachable, "answered 405"},
		"415": {refuse(415), contract.ClusterUnreachable, "answered 415"},
		"422": {refuse(422), contract.InvalidInput, "said the server"},
		"429": {refuse(429), contract.Throttled, "is overloaded: it answered 429 Too Many Requests to a request to look"},
		"500": {refuse(500), contract.ClusterUnreachable, "could not look (500)"},
		"503": {refuse(503), contract.ClusterUnreachable, "could not look (503)"},
		"504": {refuse(504), contract.ClusterUnreachable, "could not look (504)"},
		"a webhook without a backend": {says(500, `Internal error occurred: failed calling webhook "w.example.com": failed to call webhook: Post "https://w.shop.svc:443/?timeout=10s": no endpoints available for service "w"`),
			contract.WebhookFailed, `Admission webhook "w.example.com" failed, so cluster demo could not look (500): Internal error`},
		"a webhook that is slow":             {says(500, `Internal error occurred: failed calling webhook "w": failed to call webhook: Post "https://w": context deadline exceeded`), contract.WebhookFailed, `webhook "w" failed`},
		"a webhook that answers nonsense":    {says(500, `Internal error occurred: failed calling webhook "w": received invalid webhook response: expected webhook response of admission.k8s.io/v1`), contract.WebhookFailed, `webhook "w" failed`},
		"a webhook whose patch has no place": {says(500, `Internal error occurred: error in remove for path: '/data/a': Unable to remove nonexistent key: a: missing value`), contract.WebhookFailed, "A mutating admission webhook failed"},
		"a webhook whose patch does not fit": {says(500, `Internal error occurred: add operation does not apply: doc is missing path: "/metadata/labels/a": missing value`), contract.WebhookFailed, "A mutating admission webhook failed"},
		"a webhook without dry runs":         {says(400, `admission webhook "w" does not support dry run`), contract.WebhookFailed, `webhook "w" failed`},
		"a webhook that converts":            {says(500, `conversion webhook for example.com/v1, Kind=Widget failed: Post "https://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused`), contract.WebhookFailed, "The conversion webhook for example.com/v1, Kind=Widget failed, so"},
		"a webhook that converts wrongly":    {says(500, `conversion webhook for example.com/v1, Kind=Widget returned invalid object: must have the same name: a != b`), contract.WebhookFailed, "spec.conversion of the CRD"},
		"a webhook that denies":              {says(403, `admission webhook "w" denied the request: no`), contract.Forbidden, `does not admit a request to look (403): admission webhook "w" denied the request: no`},
		"a webhook that denies with 401":     {says(401, `admission webhook "w" denied the request: no`), contract.Forbidden, "does not admit"},
		"a webhook that denies with 500":     {says(500, `admission webhook "w" denied the request: failed calling webhook "x"`), contract.Forbidden, "does not admit"},
		"a webhook that denies with 429":     {says(429, `admission webhook "w" denied the request: later`), contract.Throttled, "An admission plug-in of cluster demo asked to come back later"},
		"a policy that denies with 401":      {says(401, `pods "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`), contract.Forbidden, "does not admit"},
		"a value that speaks of webhooks":    {says(422, `data.a: Invalid value: "failed calling webhook \"w\""`), contract.InvalidInput, "Invalid value"},
		"a plug-in without its data yet":     {says(403, `pods "a" is forbidden: not yet ready to handle request`), contract.ClusterUnreachable, "is starting"},
		"a text of many lines":               {says(403, "no\n---\nkind: ClusterRoleBinding\n"), contract.Forbidden, ": no --- kind: ClusterRoleBinding"},
		"a 502 of something between":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, contract.ClusterUnreachable, "could not look (502)"},
		"a connection that is cut":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, contract.ClusterUnreachable, "could not be reached"},
	} {
		t.Run(sentence, func(t *testing.T) {
			err := get(t.Context(), kubetest.Serve(t, c.answer))
			if c.name == "" {
				require.NoError(t, err)
				return
			}
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, c.name, named.Name)
			assert.Contains(t, named.Message, c.text)
			assert.NotContains(t, named.Message, kubetest.Token)
			assert.NotNil(t, errors.Unwrap(named), "what it came from is kept")
		})
	}
}

func TestAClusterThatDoesNotAnswerIsUnreachable(t *testing.T) {
	t.Run("a hang ends with the deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hang := make(chan struct{})
			cluster := kubetest.Serve(t, func(http.ResponseWriter, *http.Request) { <-hang })
			defer close(hang)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			assertNamed(t, contract.ClusterUnreachable, get(ctx, cluster))
		})
	})
	t.Run("nothing listens", func(t *testing.T) {
		cluster := kubetest.Serve(t, nil)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, listener.Close())
		cluster.Endpoint = "https://" + listener.Addr().String()
		assertNamed(t, contract.ClusterUnreachable, get(t.Context(), cluster))
	})
	t.Run("the name is unknown", func(t *testing.T) {
		cluster := kubetest.Serve(t, nil)
		cluster.Endpoint = "https://cluster.invalid"
		assertNamed(t, contract.ClusterUnreachable, get(t.Context(), cluster))
	})
}

func TestACertificateThatDoesNotFitIsNotTrustedAndNothingIsSent(t *testing.T) {
	var asked bool
	real := kubetest.Serve(t, func(http.ResponseWriter, *http.Request) { asked = true })

	t.Run("of another authority", func(t *testing.T) {
		stale := real
		stale.CertificateAuthority = otherAuthority
		assertNamed(t, contract.CertificateNotTrusted, get(t.Context(), stale))
	})
	t.Run("for another host", func(t *testing.T) {
		moved := real
		moved.Endpoint = strings.Replace(real.Endpoint, "127.0.0.1", "127.0.0.2", 1)
		if err := get(t.Context(), moved); assert.Error(t, err) {
			// On macOS only 127.0.0.1 is up, so nothing listens at this address.
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Contains(t, []contract.ErrorName{contract.CertificateNotTrusted, contract.ClusterUnreachable}, named.Name)
		}
	})
	t.Run("a CA that is not a certificate", func(t *testing.T) {
		broken := real
		broken.CertificateAuthority = "AAAA"
		assertNamed(t, contract.CertificateNotTrusted, get(t.Context(), broken))
	})
	assert.False(t, asked)
}

func TestTheFixFitsTheAuthenticationMode(t *testing.T) {
	cluster := kubetest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { kubetest.Refuse(w, 401, "Unauthorized", "Unauthorized") })
	cluster.AuthenticationMode = "CONFIG_MAP"
	err := get(t.Context(), cluster)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "eksctl create iamidentitymapping --region eu-west-1 --cluster demo --arn arn:aws:iam::111122223333:role/reader ", "without the role's path, which aws-auth does not compare")
}

func TestTheFixIsOneCommandWhateverTheRoleIsCalled(t *testing.T) {
	cluster := kubetest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { kubetest.Refuse(w, 401, "Unauthorized", "Unauthorized") })
	s := kubetest.Session(cluster)
	s.Token.Principal = "arn:aws:iam::111122223333:role/$(id);'x/a,b"
	for mode, want := range map[string][]string{
		"API":        {`--principal-arn 'arn:aws:iam::111122223333:role/$(id);'\''x/a,b' --kubernetes-groups`},
		"CONFIG_MAP": {`--arn arn:aws:iam::111122223333:role/a,b --username`, `{rolearn: "arn:aws:iam::111122223333:role/a,b", username`},
	} {
		s.Cluster.AuthenticationMode = mode
		conn, err := kubetest.Connector.Connect(s)
		require.NoError(t, err)
		message := conn.Explain(conn.Get().AbsPath("/api").MaxRetries(0).Do(t.Context()).Error(), "look").Message
		conn.Close()
		for _, text := range want {
			assert.Contains(t, message, text)
		}
	}
}

func TestALongTextKeepsItsBeginningAndItsEnd(t *testing.T) {
	assert.Equal(t, "short", kube.Shorten("short", 9))
	got := kube.Shorten("Job is invalid: spec.template: Invalid value: "+strings.Repeat("é", 5000)+": field is immutable", 120)
	assert.LessOrEqual(t, len(got), 120)
	assert.True(t, utf8.ValidString(got))
	assert.Regexp(t, `^Job is invalid: spec.template: Invalid value: é+ … é+: field is immutable$`, got)
}

func assertNamed(t *testing.T, want contract.ErrorName, err error) {
	t.Helper()
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, want, named.Name, named.Message)
}

// otherAuthority returns a CA that did not sign the server's certificate.
const otherAuthority = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJkekNDQVIyZ0F3SUJBZ0lVWnZFTjFFZXd5SnlHMnIrWVNEOElyZW5FUzd3d0NnWUlLb1pJemowRUF3SXcKRURFT01Bd0dBMVVFQXd3RmIzUm9aWEl3SUJjTk1qWXhNVEl6TVRVME5UTTFXaGdQTWpFeU5qRXdNekF4TlRRMQpNelZhTUJBeERqQU1CZ05WQkFNTUJXOTBhR1Z5TUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFCjFBMW10dElMK2pMdEJqNllXdVJydWk2bVJoSGFDMVR0dktFdGh3b0wwcE1pUUhocG4vQmgvN0tBUngrMmNmUlIKeFpvMUZHcUNCSW5aSmpGa3UwZnZUNk5UTUZFd0hRWURWUjBPQkJZRUZISXVjNkxnUGxHUmxkUmxBSXhSdWVJLwp5Tmk0TUI4R0ExVWRJd1FZTUJhQUZISXVjNkxnUGxHUmxkUmxBSXhSdWVJL3lOaTRNQThHQTFVZEV3RUIvd1FGCk1BTUJBZjh3Q2dZSUtvWkl6ajBFQXdJRFNBQXdSUUloQUxFUG5KWEFUdVplZ0R3Nk0vWWNjZGd1WHpKOVBUem4KdS94U3V6RVQzNCt0QWlBRGM1anpyd05GQUl4c1pGQ2VNRDhoWnp3UHZxRE1zTTVuVVl5cDBpZXBHdz09Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
