package tokenauthority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const key = "tak_0123456789012345678901234567890123456789012"

// fromVariables makes a client from these variables, without their prefix, beside an address and an API key.
func fromVariables(t *testing.T, more map[string]string) (*Authority, error) {
	t.Helper()
	given := map[string]string{"ADDRESS": "localhost:50051", "API_KEY": key}
	for name, value := range more {
		given[name] = value
	}
	for _, variable := range variables {
		t.Setenv(variable, given[strings.TrimPrefix(variable, "TOKENAUTHORITY_")])
	}
	authority, err := FromEnvironment()
	if err == nil {
		t.Cleanup(func() { authority.Close() })
	}
	return authority, err
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate returns the files of a client certificate and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	made, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}))),
		file(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})))
}

func TestRefusesAnEnvironmentAndNamesTheVariable(t *testing.T) {
	long, empty := file(t, strings.Repeat("x", maxFile+1)), file(t, " \n")
	cert, certKey := certificate(t)
	for name, each := range map[string]struct {
		variables map[string]string
		want      []string
	}{
		"no address":            {map[string]string{"ADDRESS": ""}, []string{"ADDRESS"}},
		"an address, no port":   {map[string]string{"ADDRESS": "localhost"}, []string{"ADDRESS"}},
		"a URL":                 {map[string]string{"ADDRESS": "https://localhost:1"}, []string{"ADDRESS"}},
		"no credentials":        {map[string]string{"API_KEY": ""}, []string{"API_KEY", "API_KEY_FILE", "TOKEN_FILE", "CLIENT_CERT_FILE"}},
		"two credentials":       {map[string]string{"TOKEN_FILE": "token"}, []string{"API_KEY", "TOKEN_FILE"}},
		"a key of two lines":    {map[string]string{"API_KEY": key + "\nx"}, []string{"API_KEY"}},
		"an absent key file":    {map[string]string{"API_KEY": "", "API_KEY_FILE": "/absent"}, []string{"API_KEY_FILE"}},
		"a folder as key file":  {map[string]string{"API_KEY": "", "API_KEY_FILE": t.TempDir()}, []string{"API_KEY_FILE"}},
		"an empty key file":     {map[string]string{"API_KEY": "", "API_KEY_FILE": empty}, []string{"API_KEY_FILE"}},
		"a long key file":       {map[string]string{"API_KEY": "", "API_KEY_FILE": long}, []string{"API_KEY_FILE", "1048576"}},
		"a certificate alone":   {map[string]string{"CLIENT_CERT_FILE": cert}, []string{"CLIENT_CERT_FILE", "CLIENT_KEY_FILE"}},
		"a key alone":           {map[string]string{"CLIENT_KEY_FILE": certKey}, []string{"CLIENT_CERT_FILE", "CLIENT_KEY_FILE"}},
		"a pair exchanged":      {map[string]string{"CLIENT_CERT_FILE": certKey, "CLIENT_KEY_FILE": cert}, []string{"CLIENT_CERT_FILE", "CLIENT_KEY_FILE"}},
		"roots that are none":   {map[string]string{"CA_FILE": empty}, []string{"CA_FILE"}},
		"plaintext with roots":  {map[string]string{"PLAINTEXT": "1", "CA_FILE": cert}, []string{"PLAINTEXT", "CA_FILE"}},
		"plaintext with a cert": {map[string]string{"PLAINTEXT": "1", "CLIENT_CERT_FILE": cert, "CLIENT_KEY_FILE": certKey}, []string{"PLAINTEXT", "CLIENT_CERT_FILE"}},
		"a flag, misspelt":      {map[string]string{"PLAINTEXT": "ture"}, []string{"PLAINTEXT"}},
		"no time":               {map[string]string{"TIMEOUT": "soon"}, []string{"TIMEOUT"}},
		"a negative time":       {map[string]string{"TIMEOUT": "-1"}, []string{"TIMEOUT"}},
		"a time of zero":        {map[string]string{"TIMEOUT": "0"}, []string{"TIMEOUT"}},
		"a time without end":    {map[string]string{"TIMEOUT": "inf"}, []string{"TIMEOUT"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fromVariables(t, each.variables)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, variable := range each.want {
				if !strings.Contains(err.Error(), variable) {
					t.Errorf("%q does not name %s", err, variable)
				}
			}
			if strings.Contains(err.Error(), key) {
				t.Errorf("%q shows the key", err)
			}
		})
	}
}

func TestAcceptsWhatTheEnvironmentMayHave(t *testing.T) {
	cert, certKey := certificate(t)
	for name, given := range map[string]map[string]string{
		"a key":                 {},
		"a key file":            {"API_KEY": "", "API_KEY_FILE": file(t, key+"\n")},
		"a token file to come":  {"API_KEY": "", "TOKEN_FILE": "/not/yet"},
		"a certificate":         {"API_KEY": "", "CLIENT_CERT_FILE": cert, "CLIENT_KEY_FILE": certKey},
		"a key and certificate": {"CLIENT_CERT_FILE": cert, "CLIENT_KEY_FILE": certKey, "CA_FILE": cert},
		"no TLS":                {"PLAINTEXT": " Yes ", "TIMEOUT": "0.5"},
		"TLS":                   {"PLAINTEXT": "off"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := fromVariables(t, given); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTrustsRootCertificatesInMemory(t *testing.T) {
	cert, _ := certificate(t)
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Address: "localhost:1", APIKey: key, RootCertificates: pem}); err != nil {
		t.Error(err)
	}
	if _, err := New(Options{Address: "localhost:1", APIKey: key, RootCertificates: pem, CAFile: cert}); err == nil {
		t.Error("accepted two kinds of roots")
	}
}

func TestRefusesOptionsAndNamesThem(t *testing.T) {
	_, err := New(Options{Address: "localhost:1", APIKey: key, TokenFile: "token"})
	if err == nil || err.Error() != "APIKey and TokenFile are set: set only one of them" {
		t.Error(err)
	}
	if _, err = New(Options{Address: "localhost:1", APIKey: key, Timeout: -1}); err == nil {
		t.Error("accepted a negative timeout")
	}
	if _, err = New(Options{Address: "localhost:1", APIKey: key, RootCertificates: []byte("none")}); err == nil ||
		err.Error() != "RootCertificates: holds no certificate in PEM" {
		t.Error(err)
	}
}

func TestShowsNoSecretWhenPrinted(t *testing.T) {
	options := Options{Address: "localhost:1", APIKey: key}
	token := &Token{Token: key, TokenID: "id"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb+verb+verb, options, token, *token); strings.Contains(text, key) {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
