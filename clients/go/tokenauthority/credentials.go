package tokenauthority

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	maxCredential = 8192
	headerSafe    = "1 to 8192 characters of printable ASCII without spaces"
)

// readCredential returns the one line of printable ASCII in a file. Its errors do not quote the file.
func readCredential(path string, limit int64) (string, error) {
	content, err := readFile(path, limit)
	if err != nil {
		return "", err
	}
	credential := strings.TrimSpace(string(content))
	if !isHeaderSafe(credential) {
		return "", errors.New("the file must hold " + headerSafe)
	}
	return credential, nil
}

func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// Another kind of file could block, or have no end.
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("the file has more than %d bytes", limit)
	}
	return content, nil
}

// isHeaderSafe reports whether a header carries the credential, and the authority reads it.
func isHeaderSafe(credential string) bool {
	return credential != "" && len(credential) <= maxCredential &&
		!strings.ContainsFunc(credential, func(r rune) bool { return r <= ' ' || r > '~' })
}
