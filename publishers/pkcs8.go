package publishers

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // what older tools encrypt keys with
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the PRF of older files, as HMAC
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"

	"golang.org/x/crypto/scrypt"

	"orderbridge/internal/limits"
)

// Encrypted PKCS#8 (RFC 5958) by PBES2 (RFC 8018): PBKDF2 or scrypt (RFC 7914),
// then AES or triple DES in CBC mode. The algorithms are those of the standard
// library; what stands here is how a file names them.

var (
	errCipher = errors.New("cannot be opened: its encryption is none of PBES2 with PBKDF2 or scrypt and AES or triple DES; convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc")
	errCostly = errors.New("cannot be opened: its key derivation costs more than is spent on it; encrypt it again with fewer iterations")
)

type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2 struct {
		Derivation pkix.AlgorithmIdentifier
		Cipher     pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		Length     int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	scryptParams struct {
		Salt    []byte
		N, R, P int
		Length  int `asn1:"optional"`
	}
)

// kinds of algorithms by their object identifiers.
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}

	prfs = map[string]func() hash.Hash{
		"":                    sha1.New, // the default
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.8":  sha256.New224,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}
	ciphers = map[string]struct {
		key  int
		make func(key []byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
)

// encryptedPKCS8 reads a private key that is encrypted with a password.
func encryptedPKCS8(der, password []byte) (any, error) {
	var outer encryptedKey
	var params pbes2
	if !parse(der, &outer) || !outer.Algorithm.Algorithm.Equal(oidPBES2) ||
		!parse(outer.Algorithm.Parameters.FullBytes, &params) {
		return nil, errCipher
	}
	c, known := ciphers[params.Cipher.Algorithm.String()]
	var iv []byte
	if !known || !parse(params.Cipher.Parameters.FullBytes, &iv) {
		return nil, errCipher
	}
	key, err := derive(params.Derivation, password, c.key)
	if err != nil {
		return nil, err
	}
	block, err := c.make(key)
	if err != nil || len(iv) != block.BlockSize() || len(outer.Data) == 0 || len(outer.Data)%block.BlockSize() != 0 {
		return nil, errCipher
	}
	plain := make([]byte, len(outer.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, outer.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > block.BlockSize() || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errWrongPassword
	}
	return openedKey(plain[:len(plain)-pad])
}

func parse(der []byte, into any) bool {
	rest, err := asn1.Unmarshal(der, into)
	return err == nil && len(rest) == 0
}

// derive makes a key of size bytes of the password.
func derive(algorithm pkix.AlgorithmIdentifier, password []byte, size int) ([]byte, error) {
	switch params := algorithm.Parameters.FullBytes; {
	case algorithm.Algorithm.Equal(oidPBKDF2):
		var p pbkdf2Params
		if !parse(params, &p) || p.Length != 0 && p.Length != size || p.Iterations <= 0 {
			return nil, errCipher
		}
		prf, known := prfs[p.PRF.Algorithm.String()]
		switch {
		case !known:
			return nil, errCipher
		case p.Iterations > limits.KeyIterations:
			return nil, errCostly
		}
		return pbkdf2.Key(prf, string(password), p.Salt, p.Iterations, size)
	case algorithm.Algorithm.Equal(oidScrypt):
		var p scryptParams
		if !parse(params, &p) || p.Length != 0 && p.Length != size || p.N <= 1 || p.R <= 0 || p.P <= 0 {
			return nil, errCipher
		}
		if p.R > limits.KeyMemoryBytes/128 || p.N > limits.KeyMemoryBytes/128/p.R || p.P > limits.KeyScryptPasses {
			return nil, errCostly
		}
		key, err := scrypt.Key(password, p.Salt, p.N, p.R, p.P, size)
		if err != nil {
			return nil, errCipher
		}
		return key, nil
	}
	return nil, errCipher
}
