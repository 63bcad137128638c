package publishers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What openssl writes is read, with each derivation and cipher that it offers.
func TestEncryptedPKCS8AsOpensslWritesIt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ok(t, err)
	plain := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for flags, readable := range map[string]bool{
		"-v2 aes-256-cbc":                        true,
		"-v2 aes-192-cbc -v2prf hmacWithSHA224":  true,
		"-v2 aes-128-cbc -v2prf hmacWithSHA1":    true,
		"-v2 aes-256-cbc -v2prf hmacWithSHA384":  true,
		"-v2 aes-256-cbc -v2prf hmacWithSHA512":  true,
		"-v2 des3":                               true,
		"-v2 aes-256-cbc -iter 1":                true,
		"-scrypt":                                true,
		"-scrypt -scrypt_N 8192 -scrypt_r 8":     true,
		"-v2 camellia-256-cbc":                   false,
		"-v2 aes-256-cbc -iter 20000000 -noiter": true, // the last counts
	} {
		cmd := exec.CommandContext(shortly(t), "openssl", append(strings.Fields("pkcs8 -topk8 -passout pass:"+strings.ReplaceAll(keyPassword, " ", "_")), strings.Fields(flags)...)...)
		cmd.Stdin = strings.NewReader(plain)
		out, err := cmd.Output()
		if err != nil {
			t.Logf("openssl cannot write %s: %v", flags, err)
			continue
		}
		block, _ := pem.Decode(out)
		if block == nil {
			t.Errorf("%s: no PEM", flags)
			continue
		}
		got, err := encryptedPKCS8(block.Bytes, []byte(strings.ReplaceAll(keyPassword, " ", "_")))
		if !readable {
			if !errors.Is(err, errCipher) {
				t.Errorf("%s: %v", flags, err)
			}
			continue
		}
		if err != nil || !key.Equal(got) {
			t.Errorf("%s: %v", flags, err)
			continue
		}
		if _, err := encryptedPKCS8(block.Bytes, []byte("wrong")); !errors.Is(err, errWrongPassword) {
			t.Errorf("%s, wrong password: %v", flags, err)
		}
		for cut := range len(block.Bytes) { // no part of it makes it panic
			_, _ = encryptedPKCS8(block.Bytes[:cut], []byte("x"))
		}
	}
}

// One wrong password of 256 leaves a good padding by chance: it is wrong, too.
func TestWrongPasswordIsToldApart(t *testing.T) {
	t.Parallel()
	block, err := x509.EncryptPEMBlock(bytes.NewReader(make([]byte, 16)), "EC PRIVATE KEY", make([]byte, 121), []byte("right"), x509.PEMCipherAES128) //nolint:staticcheck // what older tools write
	ok(t, err)
	padded := 0
	for i := range 2000 {
		password := fmt.Sprintf("wrong %d", i)
		if _, err := x509.DecryptPEMBlock(block, []byte(password)); err == nil { //nolint:staticcheck // as above
			padded++
		}
		if _, err := pemKeys(pem.EncodeToMemory(block), password); !errors.Is(err, errWrongPassword) {
			t.Errorf("%q: %v", password, err)
		}
	}
	if padded == 0 {
		t.Error("no password left a good padding: nothing was tried")
	}
}

// A file that costs a day or all memory to open is refused at once.
func TestCostlyKeyIsNotOpened(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*pbkdf2Params, *scryptParams){
		"iterations": func(p *pbkdf2Params, _ *scryptParams) { p.Iterations = 1 << 30 },
		"N":          func(_ *pbkdf2Params, s *scryptParams) { s.N = 1 << 30 },
		"r":          func(_ *pbkdf2Params, s *scryptParams) { s.R = 1 << 30 },
		"p":          func(_ *pbkdf2Params, s *scryptParams) { s.P = 1 << 30 },
	} {
		pb, sc := pbkdf2Params{Salt: []byte("saltsalt"), Iterations: 1}, scryptParams{Salt: []byte("saltsalt"), N: 2, R: 1, P: 1}
		change(&pb, &sc)
		algorithm := identifier(t, oidScrypt, sc)
		if name == "iterations" {
			algorithm = identifier(t, oidPBKDF2, pb)
		}
		if _, err := derive(algorithm, []byte("x"), 32); !errors.Is(err, errCostly) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A PKCS#12 file asks for the time of several derivations before its password is known to be right.
func TestCostlyKeyIsNotOpenedInPKCS12(t *testing.T) {
	t.Parallel()
	type derivation struct {
		Salt  []byte
		Count *big.Int
	}
	type file struct {
		Version int
		Safe    struct {
			Type    asn1.ObjectIdentifier
			Content []byte `asn1:"explicit,tag:0"`
		}
		MAC struct {
			Digest []byte
			Salt   []byte
			Count  *big.Int
		}
	}
	for _, tt := range []struct {
		mac    int64
		safe   []int64
		costly bool
	}{
		{2048, []int64{2048, 2048}, false},
		{1 << 30, nil, true},
		{1, []int64{1 << 30}, true},
		{4_000_000, []int64{4_000_000, 4_000_000}, true},
		{math.MaxInt64, nil, true},
		{-1, []int64{-1 << 40}, false},
	} {
		var f file
		var safe []derivation
		for _, n := range tt.safe {
			safe = append(safe, derivation{[]byte("saltsalt"), big.NewInt(n)})
		}
		var err error
		f.Safe.Content, err = asn1.Marshal(safe)
		ok(t, err)
		f.Version, f.Safe.Type, f.MAC.Digest, f.MAC.Salt, f.MAC.Count = 3, oidPBES2, []byte("0"), []byte("saltsalt"), big.NewInt(tt.mac)
		if tt.mac == math.MaxInt64 {
			f.MAC.Count.Lsh(f.MAC.Count, 64)
		}
		der, err := asn1.Marshal(f)
		ok(t, err)
		_, _, asKey := keyFile(der, "x")
		_, asTrust := certificates(der, "x")
		if errors.Is(asKey, errCostly) != tt.costly || errors.Is(asTrust, errCostly) != tt.costly {
			t.Errorf("%d, %v: %v; %v", tt.mac, tt.safe, asKey, asTrust)
		}
	}
	dir := directory(t.TempDir())
	credentials(t, dir)
	made, err := os.ReadFile(filepath.Join(string(dir), "client.p12"))
	ok(t, err)
	if n := iterations(made, 0); n < 3*1000 { // MAC, key, certificate
		t.Errorf("a real file asks for %d", n)
	}
	for cut := range made {
		iterations(made[:cut], 0)
		iterations(made[cut:], 0)
	}
}

func identifier(t *testing.T, oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	der, err := asn1.Marshal(params)
	ok(t, err)
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}
}
