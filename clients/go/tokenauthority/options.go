// The options of a client's connection, and the credentials and the TLS configuration that follow from the options.

package tokenauthority

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	defaultTimeout = 5 * time.Second
	maxFile        = 1 << 20
)

// Options say where the authority is, and prove who calls it: by one of APIKey, APIKeyFile, TokenFile and Credentials, by
// a client certificate, or by both. Printed, they do not show the API key.
type Options struct {
	// Address is HOST:PORT, or a target of gRPC such as dns:///NAME:PORT. Required.
	Address string
	// APIKey is sent with every call.
	APIKey string
	// APIKeyFile names a file with the API key. It is read once.
	APIKeyFile string
	// TokenFile names a file with a JWT or an API key, of at most 8192 bytes. It is read again for each call.
	TokenFile string
	// Credentials returns a JWT or an API key. It is called for each call, from any goroutine. Its error is the cause of
	// the call's error.
	Credentials func(context.Context) (string, error)
	// ClientCertFile and ClientKeyFile name a client certificate with its chain, and its key without a password, in PEM.
	// They are read again for each connection.
	ClientCertFile, ClientKeyFile string
	// CAFile names the certificate authorities to trust, in PEM, and RootCertificates are them. Set one of them. Default:
	// those of the system.
	CAFile           string
	RootCertificates []byte
	// Plaintext turns TLS off. Everybody on the network path can then read the API key and the tokens.
	Plaintext bool
	// ProjectID is the project of a call that names none. Required if the caller may use several projects.
	ProjectID string
	// Timeout is how long a call may take, its retries included. Default: 5 seconds. It does not limit a watch. An earlier
	// deadline of the call's context applies instead.
	Timeout time.Duration
	// DialOptions of gRPC are applied after those of this package, for what it has no option for.
	DialOptions []grpc.DialOption
}

// Format writes the options without a secret, whatever the verb.
func (o Options) Format(state fmt.State, _ rune) {
	fmt.Fprintf(state, "tokenauthority.Options{Address: %q, ProjectID: %q}", o.Address, o.ProjectID)
}

// names has what an error calls a field of Options; a field that it lacks has its own name.
type names map[string]string

func (n names) of(field string) string {
	if name, found := n[field]; found {
		return name
	}
	return field
}

// field is a field of Options, and whether it is set.
type field struct {
	name  string
	isSet bool
}

// given returns what an error calls the fields that are set.
func (n names) given(fields ...field) []string {
	var found []string
	for _, each := range fields {
		if each.isSet {
			found = append(found, n.of(each.name))
		}
	}
	return found
}

func (o Options) check(n names) error {
	bearers := n.given(field{"APIKey", o.APIKey != ""}, field{"APIKeyFile", o.APIKeyFile != ""},
		field{"TokenFile", o.TokenFile != ""}, field{"Credentials", o.Credentials != nil})
	roots := n.given(field{"CAFile", o.CAFile != ""}, field{"RootCertificates", o.RootCertificates != nil})
	pair := n.given(field{"ClientCertFile", o.ClientCertFile != ""}, field{"ClientKeyFile", o.ClientKeyFile != ""})
	certificates := append(roots, pair...)
	switch {
	case o.Address == "":
		return fmt.Errorf("%s is not set", n.of("Address"))
	case !strings.Contains(o.Address, ":"), strings.HasPrefix(o.Address, "http://"), strings.HasPrefix(o.Address, "https://"):
		return fmt.Errorf("%s must be HOST:PORT, such as localhost:50051", n.of("Address"))
	case o.Timeout < 0:
		return fmt.Errorf("%s must not be negative", n.of("Timeout"))
	case len(roots) > 1:
		return fmt.Errorf("%s are set: set only one of them", strings.Join(roots, " and "))
	case o.Plaintext && len(certificates) > 0:
		return fmt.Errorf("%s does not go with %s: they are for TLS", n.of("Plaintext"), strings.Join(certificates, " and "))
	case len(pair) == 1:
		return fmt.Errorf("%s and %s go together: set both or neither", n.of("ClientCertFile"), n.of("ClientKeyFile"))
	case len(bearers) > 1:
		return fmt.Errorf("%s are set: set only one of them", strings.Join(bearers, " and "))
	case len(bearers) == 0 && len(pair) == 0:
		return fmt.Errorf("no credentials: set %s, %s or %s, or %s with %s",
			n.of("APIKey"), n.of("APIKeyFile"), n.of("TokenFile"), n.of("ClientCertFile"), n.of("ClientKeyFile"))
	case o.APIKey != "" && !isHeaderSafe(o.APIKey):
		return fmt.Errorf("%s must be %s", n.of("APIKey"), headerSafe)
	}
	return nil
}

// bearer returns what gives each call its credential; nil for none.
func (o Options) bearer(n names) (func(context.Context) (string, error), error) {
	switch {
	case o.APIKeyFile != "":
		key, err := readCredential(o.APIKeyFile, maxFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.of("APIKeyFile"), err)
		}
		return constant(key), nil
	case o.TokenFile != "":
		return func(context.Context) (string, error) {
			token, err := readCredential(o.TokenFile, maxCredential)
			if err != nil {
				return "", fmt.Errorf("%s: %w", n.of("TokenFile"), err)
			}
			return token, nil
		}, nil
	case o.Credentials != nil:
		return func(ctx context.Context) (string, error) {
			token, err := o.Credentials(ctx)
			if err != nil {
				return "", fmt.Errorf("Credentials: %w", err)
			}
			if !isHeaderSafe(token) {
				return "", errors.New("Credentials must return " + headerSafe)
			}
			return token, nil
		}, nil
	case o.APIKey != "":
		return constant(o.APIKey), nil
	}
	return nil, nil
}

func constant(credential string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return credential, nil }
}

func (o Options) transport(n names) (credentials.TransportCredentials, error) {
	if o.Plaintext {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" || o.RootCertificates != nil {
		roots, err := o.roots()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.given(field{"CAFile", o.CAFile != ""}, field{"RootCertificates", true})[0], err)
		}
		config.RootCAs = roots
	}
	if o.ClientCertFile != "" {
		read := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(o.ClientCertFile, o.ClientKeyFile)
			if err != nil {
				return nil, fmt.Errorf("%s and %s: %w", n.of("ClientCertFile"), n.of("ClientKeyFile"), err)
			}
			return &pair, nil
		}
		if _, err := read(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	}
	return credentials.NewTLS(config), nil
}

func (o Options) roots() (*x509.CertPool, error) {
	pem, pool := o.RootCertificates, x509.NewCertPool()
	if o.CAFile != "" {
		var err error
		if pem, err = readFile(o.CAFile, maxFile); err != nil {
			return nil, err
		}
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(strings.TrimLeft(o.CAFile+" holds no certificate in PEM", " "))
	}
	return pool, nil
}
