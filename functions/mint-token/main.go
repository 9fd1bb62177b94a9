// Command mint-token is the function of the state MintToken.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/kubestep/kubestep/internal/iam"
	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/internal/token"
)

func main() {
	cfg := task.Must(config.LoadDefaultConfig(context.Background()))
	minter := token.Minter{
		FIPS:        token.FIPS(cfg),
		Credentials: iam.NewRoles(cfg, os.Getenv("KUBESTEP_EXTERNAL_ID")).Credentials,
		Principal:   os.Getenv("KUBESTEP_ROLE_ARN"),
		Sealer:      task.Must(token.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY"))),
		Now:         time.Now,
	}
	task.Start("MintToken", minter.Mint)
}
