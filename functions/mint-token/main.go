// Command mint-token is the function of the state MintToken.
package main

import (
	"os"
	"time"

	"github.com/kubestep/kubestep/internal/attestation"
	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/internal/token"
)

func main() {
	cfg := task.Must(awsapi.Config(os.Getenv))
	minter := token.Minter{
		FIPS:        token.FIPS(cfg),
		Credentials: awsapi.NewRoles(cfg, os.Getenv("KUBESTEP_EXTERNAL_ID")).Credentials,
		Principal:   os.Getenv("KUBESTEP_ROLE_ARN"),
		Group:       os.Getenv("KUBESTEP_KUBERNETES_GROUP"),
		Machine:     os.Getenv("KUBESTEP_STATE_MACHINE"),
		Attestation: task.Must(attestation.New(os.Getenv("KUBESTEP_ATTESTATION_KEY"))),
		Sealer:      task.Must(bearer.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY"))),
		Now:         time.Now,
	}
	task.Start(contract.FunctionMintToken, minter.Mint)
}
