package test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/attestation"
	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	workflowpods "github.com/kubestep/kubestep/internal/workflow/podinventory"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/test/apiproxy"
)

// invoke invokes a function of the stack, and returns the name of its error, if it failed.
func (s *scenario) invoke(t *testing.T, function string, payload, result any) (failed string) {
	t.Helper()
	text, err := json.Marshal(payload)
	require.NoError(t, err)
	answer, err := local.Lambda.Invoke(t.Context(), s.stack.Name+"-"+function, text)
	require.NoError(t, err)
	if answer.FunctionError != "" {
		var e struct{ ErrorType, ErrorMessage string }
		require.NoError(t, json.Unmarshal(answer.Payload, &e))
		assert.NotContains(t, e.ErrorMessage, inTheClear)
		return e.ErrorType
	}
	require.NoError(t, json.Unmarshal(answer.Payload, result))
	return ""
}

// attest attests a cluster as the stack's describe-cluster does.
func (s *scenario) attest(t *testing.T, execution string, cluster contract.Cluster) contract.Cluster {
	t.Helper()
	for _, f := range local.Lambda.Functions() {
		if f.Name == s.stack.Name+"-describe-cluster" {
			attester, err := attestation.New(f.Environment["KUBESTEP_ATTESTATION_KEY"])
			require.NoError(t, err)
			attested, err := attester.Attest(execution, "", cluster)
			require.NoError(t, err)
			return attested
		}
	}
	require.Fail(t, "the stack has no describe-cluster")
	return contract.Cluster{}
}

// thief records all requests.
type thief struct {
	endpoint string
	met      atomic.Int32
}

func newThief(t *testing.T) *thief {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	them := &thief{endpoint: "https://" + listener.Addr().String()}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			them.met.Add(1)
			connection.Close()
		}
	}()
	return them
}

func TestASealedTokenOpensWhereItWasMintedForAndIsSentNowhereElse(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	proxy, _ := proxied(t)
	them := newThief(t)
	cluster := contract.Cluster{
		Name: "demo", Region: "eu-west-1", Endpoint: proxy.Endpoint, AuthenticationMode: "CONFIG_MAP",
		CertificateAuthority: base64.StdEncoding.EncodeToString(proxy.CertificateAuthority),
	}
	const execution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:its-own"
	cluster = s.attest(t, execution, cluster)
	var minted contract.Token
	require.Empty(t, s.invoke(t, "mint-token", contract.MintToken{Execution: execution, Cluster: cluster}, &minted))
	session := contract.Session{Execution: execution, Cluster: cluster, Token: minted}
	checks := workflowpods.Checks([]string{"default"}, workflowpods.DefaultGroup)

	elsewhere := cluster
	elsewhere.Endpoint = them.endpoint
	their := rand.Text() + rand.Text()
	sealer, err := bearer.NewSealer(their)
	require.NoError(t, err)
	forged, err := sealer.Seal(bearer.New("forged"), bearer.BindingFor(execution, cluster))
	require.NoError(t, err)
	flipped := func(at int) func(*contract.VerifyRBAC) {
		return func(p *contract.VerifyRBAC) {
			raw, err := base64.RawURLEncoding.DecodeString(p.Token.Sealed)
			require.NoError(t, err)
			raw[(at+len(raw))%len(raw)] ^= 1
			p.Token.Sealed = base64.RawURLEncoding.EncodeToString(raw)
		}
	}
	attacks := map[string]func(*contract.VerifyRBAC){
		"replayed in another execution": func(p *contract.VerifyRBAC) { p.Execution += "-not" },
		"moved to another endpoint":     func(p *contract.VerifyRBAC) { p.Cluster.Endpoint = them.endpoint },
		"moved to another path":         func(p *contract.VerifyRBAC) { p.Cluster.Endpoint += "/there" },
		"moved to another authority": func(p *contract.VerifyRBAC) {
			p.Cluster.CertificateAuthority = base64.StdEncoding.EncodeToString(local.ControlPlane.CertificateAuthority)
		},
		"moved to another authority and endpoint": func(p *contract.VerifyRBAC) {
			p.Cluster.Endpoint, p.Cluster.CertificateAuthority = local.ControlPlane.Endpoint, base64.StdEncoding.EncodeToString(local.ControlPlane.CertificateAuthority)
		},
		"with an authority added": func(p *contract.VerifyRBAC) {
			p.Cluster.CertificateAuthority = base64.StdEncoding.EncodeToString(slices.Concat(proxy.CertificateAuthority, local.ControlPlane.CertificateAuthority))
		},
		"truncated":                       func(p *contract.VerifyRBAC) { p.Token.Sealed = p.Token.Sealed[:len(p.Token.Sealed)-4] },
		"without all but its nonce":       func(p *contract.VerifyRBAC) { p.Token.Sealed = p.Token.Sealed[:16] },
		"lengthened":                      func(p *contract.VerifyRBAC) { p.Token.Sealed += "AAAA" },
		"empty":                           func(p *contract.VerifyRBAC) { p.Token.Sealed = "" },
		"that is not base64":              func(p *contract.VerifyRBAC) { p.Token.Sealed = "ä" + p.Token.Sealed[2:] },
		"far too long":                    func(p *contract.VerifyRBAC) { p.Token.Sealed = strings.Repeat(p.Token.Sealed, 20) },
		"with a bit flipped in its nonce": flipped(0),
		"with a bit flipped in its text":  flipped(100),
		"with a bit flipped in its tag":   flipped(-1),
		"of another key":                  func(p *contract.VerifyRBAC) { p.Token.Sealed = forged },
		"that was never sealed": func(p *contract.VerifyRBAC) {
			p.Token.Sealed = base64.RawURLEncoding.EncodeToString([]byte("k8s-aws-v" + "1.x"))
		},
	}
	for sentence, attack := range attacks {
		payload := contract.VerifyRBAC{Session: session, Checks: checks}
		attack(&payload)
		assert.Equal(t, string(contract.Unauthorized), s.invoke(t, "verify-rbac", payload, nil), sentence)
		list := podinventory.ListPods{Session: payload.Session, Namespaces: []string{"default"}}
		assert.Equal(t, string(contract.Unauthorized), s.invoke(t, "list-pods", list, nil), sentence)
	}
	assert.Zero(t, them.met.Load(), "nobody calls where a token was moved to")
	assert.Zero(t, proxy.Passed(reviews)+proxy.Passed("pods"))

	own := contract.VerifyRBAC{Session: session, Checks: checks}
	var verified contract.VerifiedAccess
	assert.Empty(t, s.invoke(t, "verify-rbac", own, &verified))
	assert.True(t, verified.Allowed, "and it is good all the while")
	assert.Equal(t, 1, proxy.Passed(reviews))

	var moved contract.Token
	assert.Equal(t, string(contract.AccessDenied), s.invoke(t, "mint-token", contract.MintToken{Execution: execution, Cluster: elsewhere}, &moved),
		"no token is minted for an endpoint that describe-cluster did not attest")
	elsewhere = s.attest(t, execution, elsewhere)
	require.Empty(t, s.invoke(t, "mint-token", contract.MintToken{Execution: execution, Cluster: elsewhere}, &moved))
	own.Cluster, own.Token = elsewhere, moved
	assert.Equal(t, string(contract.ClusterUnreachable), s.invoke(t, "verify-rbac", own, nil))
	assert.Positive(t, them.met.Load(), "the thief does listen")
}

func TestAFunctionWithAnotherSealKeyStopsTheMachineByNameAndSendsNothing(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	proxy, where := proxied(t)
	s.redeploy(t, "verify-rbac", func(f *lambdahost.Function) {
		changed := map[string]string{}
		for key, value := range f.Environment {
			changed[key] = value
		}
		changed["KUBESTEP_SEAL_KEY"] = rand.Text() + rand.Text()
		f.Environment = changed
	})

	e := s.run(t, in(t, where, nil))

	stopped(t, e, contract.Unauthorized, "sealed token does not open", "the same KUBESTEP_SEAL_KEY")
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", times(5, "MintToken", "VerifyRBAC"), "Explain", "Failed"), e.Path)
	assert.Zero(t, proxy.Passed(reviews))
}

func TestAKeyThatIsRotatedByADeploymentHealsByMintingAgain(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	_, where := proxied(t, apiproxy.Fault{Resource: reviews, Times: 1, Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		s.stack.Secrets = map[string]string{"SealKey": rand.Text() + rand.Text()}
		assert.NoError(t, local.Deploy(t.Context(), s.stack))
		pass(w, r)
	}})

	e := s.run(t, in(t, where, nil))

	succeeded(t, e)
	assert.Equal(t, []string{"ListPods: Unauthorized"}, failures(e), "it was verified with the old key, and is listed with the new one")
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", times(2, "MintToken", "VerifyRBAC", "ListPods"), "MorePods", "Output"), e.Path)
}
