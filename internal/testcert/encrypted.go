package testcert

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
)

// EncryptedKey is a private key as encrypted PKCS#8, in DER: PBES2 with PBKDF2
// and AES-256, as openssl writes it.
func EncryptedKey(key any, password string) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	_, _ = rand.Read(salt) // never fails
	_, _ = rand.Read(iv)
	const iterations = 2048
	derived, err := pbkdf2.Key(sha256.New, password, salt, iterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	data := append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)

	prf := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, Parameters: asn1.NullRawValue}
	derivation, err := identifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, struct {
		Salt       []byte
		Iterations int
		PRF        pkix.AlgorithmIdentifier
	}{salt, iterations, prf})
	if err != nil {
		return nil, err
	}
	encryption, err := identifier(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, iv)
	if err != nil {
		return nil, err
	}
	scheme, err := identifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, struct{ Derivation, Encryption pkix.AlgorithmIdentifier }{derivation, encryption})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		Scheme pkix.AlgorithmIdentifier
		Data   []byte
	}{scheme, data})
}

func identifier(oid asn1.ObjectIdentifier, params any) (pkix.AlgorithmIdentifier, error) {
	der, err := asn1.Marshal(params)
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}, err
}
