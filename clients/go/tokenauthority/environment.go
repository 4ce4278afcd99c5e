package tokenauthority

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// variables has the environment variable of each field of [Options] that has one.
var variables = names{
	"Address":        "TOKENAUTHORITY_ADDRESS",
	"APIKey":         "TOKENAUTHORITY_API_KEY",
	"APIKeyFile":     "TOKENAUTHORITY_API_KEY_FILE",
	"TokenFile":      "TOKENAUTHORITY_TOKEN_FILE",
	"ClientCertFile": "TOKENAUTHORITY_CLIENT_CERT_FILE",
	"ClientKeyFile":  "TOKENAUTHORITY_CLIENT_KEY_FILE",
	"CAFile":         "TOKENAUTHORITY_CA_FILE",
	"Plaintext":      "TOKENAUTHORITY_PLAINTEXT",
	"ProjectID":      "TOKENAUTHORITY_PROJECT_ID",
	"Timeout":        "TOKENAUTHORITY_TIMEOUT",
}

// FromEnvironment makes a client from the environment variables TOKENAUTHORITY_ADDRESS, TOKENAUTHORITY_API_KEY and so
// on: one for each field of [Options], with the same meaning. An empty variable counts as not set. An error names the
// variable, and never holds the API key.
func FromEnvironment() (*Authority, error) {
	options, err := readEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	return open(options, variables)
}

func readEnvironment(get func(string) string) (Options, error) {
	text := func(field string) string { return get(variables.of(field)) }
	plaintext, err := parseFlag(variables.of("Plaintext"), text("Plaintext"))
	if err != nil {
		return Options{}, err
	}
	timeout, err := parseSeconds(variables.of("Timeout"), text("Timeout"))
	if err != nil {
		return Options{}, err
	}
	return Options{
		Address:        text("Address"),
		APIKey:         text("APIKey"),
		APIKeyFile:     text("APIKeyFile"),
		TokenFile:      text("TokenFile"),
		ClientCertFile: text("ClientCertFile"),
		ClientKeyFile:  text("ClientKeyFile"),
		CAFile:         text("CAFile"),
		Plaintext:      plaintext,
		ProjectID:      text("ProjectID"),
		Timeout:        timeout,
	}, nil
}

func parseFlag(name, value string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "1", "true", "yes", "on", "t", "y":
		return true, nil
	case "", "0", "false", "no", "off", "f", "n":
		return false, nil
	}
	return false, fmt.Errorf("%s must be one of 1, true, yes, on, 0, false, no, off", name)
}

// parseSeconds returns 0 for an empty value.
func parseSeconds(name, value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseFloat(value, 64)
	// The comparison is false for NaN too. The upper limit is what a Duration can hold.
	if err != nil || !(seconds > 0 && seconds < 9e9) {
		return 0, fmt.Errorf("%s must be a number of seconds above 0", name)
	}
	return max(time.Duration(seconds*float64(time.Second)), 1), nil
}
