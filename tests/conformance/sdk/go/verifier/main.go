// Verifies tokens, one a line, with nothing but their issuer and audience; answers each with a line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
)

type answer struct {
	Claims map[string]any `json:"claims,omitempty"`
	Error  string         `json:"error,omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: verifier ISSUER AUDIENCE")
	}
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, os.Args[1])
	if err != nil {
		fail(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: os.Args[2]})
	answers := json.NewEncoder(os.Stdout)
	tokens := bufio.NewScanner(os.Stdin)
	for tokens.Scan() {
		if err := answers.Encode(verify(ctx, verifier, tokens.Text())); err != nil {
			fail(err)
		}
	}
}

func verify(ctx context.Context, verifier *oidc.IDTokenVerifier, token string) (found answer) {
	verified, err := verifier.Verify(ctx, token)
	if err == nil {
		err = verified.Claims(&found.Claims)
	}
	if err != nil {
		found.Error = err.Error()
	}
	return found
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
