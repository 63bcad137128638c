package publishers

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"unicode/utf16"

	"software.sslmate.com/src/go-pkcs12"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// What the files of a record's tls member may be: PEM, DER (a certificate) and
// PKCS#12, as the tools of this world write them.

var (
	errWrongPassword = errors.New("cannot be opened: tls.keyPassword is wrong")
	errNoPassword    = errors.New("is encrypted: give its password in tls.keyPassword")
	errSeveralKeys   = errors.New("holds several keys with a certificate each; name the file of the right certificate in tls.clientCert")
	errKeyStore      = errors.New("is a Java key store; convert it (keytool -importkeystore -deststoretype PKCS12)")
	errNoMAC         = errors.New("is PKCS#12 without a MAC, so that nothing tells whether the password is right; export it without -nomac")
	errContents      = errors.New("is PKCS#12 that holds something else than one key that can be used, and certificates; " + usableKeys)
	errDER           = errors.New("is a key in DER; convert it to PEM (openssl pkey -inform DER)")
	errOpenSSH       = errors.New("holds a key in the form of OpenSSH; convert it to PKCS#8 in PEM")
	errOldCipher     = errors.New("is encrypted in a way that is not known here; convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc")
	errKeyKind       = errors.New("holds a key that cannot be read; " + usableKeys)
)

const usableKeys = "keys may be RSA, ECDSA over P-256, P-384 or P-521 (as a named curve), and Ed25519"

// plainPEM undoes what editors of other systems do to a text file: a byte order
// mark, and UTF-16. Anything else comes back as it is.
func plainPEM(data []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return data
	}
	units := make([]uint16, 0, len(data)/2)
	for rest := data[2:]; len(rest) >= 2; rest = rest[2:] {
		units = append(units, order.Uint16(rest))
	}
	if text := []byte(string(utf16.Decode(units))); isPEM(text) {
		return text
	}
	return data
}

func isPEM(data []byte) bool { return bytes.Contains(data, []byte("-----BEGIN ")) }

func isKeyStore(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\xfe\xed\xfe\xed")) || bytes.HasPrefix(data, []byte("\xce\xce\xce\xce"))
}

// readPKCS12 takes the outermost of a PKCS#12 file apart.
func readPKCS12(data []byte) (mac, ok bool) {
	var outer struct {
		Version  int
		AuthSafe asn1.RawValue
		MAC      asn1.RawValue `asn1:"optional"`
	}
	ok = parse(data, &outer) && outer.Version == 3 && outer.AuthSafe.Tag == asn1.TagSequence
	return len(outer.MAC.FullBytes) > 0, ok
}

// iterations adds up what the key derivations of a PKCS#12 file ask for, as far as it
// is told in the clear: each count stands behind its salt, of the MAC as of the ciphers.
func iterations(der []byte, depth int) (total int) {
	for before := 0; len(der) > 0 && depth < maxPKCS12Depth; {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return total
		}
		der = rest
		tag := 0
		if v.Class == asn1.ClassUniversal {
			tag = v.Tag
		}
		switch {
		case tag == asn1.TagInteger && before == asn1.TagOctetString:
			var n int
			if !parse(v.FullBytes, &n) || n > limits.KeyIterations {
				n = limits.KeyIterations + 1
			}
			total += max(n, 0)
		case v.IsCompound, tag == asn1.TagOctetString && bytes.HasPrefix(v.Bytes, []byte{0x30}): // a SEQUENCE
			total += iterations(v.Bytes, depth+1)
		}
		before = tag
	}
	return total
}

const maxPKCS12Depth = 32

// certificates are all that a PEM, DER or PKCS#12 file holds.
func certificates(data []byte, password string) ([]*x509.Certificate, error) {
	if isPEM(data) {
		certs, err := pemCertificates(data)
		if err == nil && len(certs) == 0 {
			err = errors.New("holds no certificate")
		}
		return certs, err
	}
	if certs, err := x509.ParseCertificates(data); err == nil && len(certs) > 0 {
		return certs, nil
	}
	if iterations(data, 0) > limits.KeyIterations {
		return nil, errCostly
	}
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if err == nil {
		return certs, nil
	}
	if isKeyStore(data) || isWrongPassword(err) {
		return nil, pkcs12Error(data, err, password)
	}
	if _, certs, err := pkcs12Contents(data, password); err == nil && len(certs) > 0 {
		return certs, nil
	}
	return nil, errors.New("is neither PEM nor a PKCS#12 trust store or key that can be read; give certificates alone as PEM")
}

func isWrongPassword(err error) bool {
	return errors.Is(err, pkcs12.ErrIncorrectPassword) || errors.Is(err, pkcs12.ErrDecryption)
}

func pkcs12Error(data []byte, err error, password string) error {
	switch {
	case isKeyStore(data):
		return errKeyStore
	case isWrongPassword(err) && password == "":
		return errNoPassword
	case isWrongPassword(err):
		return errWrongPassword
	}
	if mac, is := readPKCS12(data); is && mac {
		return errContents
	} else if is {
		return errNoMAC
	}
	if _, err := derKey(data); err == nil {
		return errDER
	}
	return errors.New("is neither PEM nor a PKCS#12 file that can be read")
}

// pkcs12Contents are all keys and all certificates of a PKCS#12 file, however
// many.
func pkcs12Contents(data []byte, password string) (keys []any, certs []*x509.Certificate, err error) {
	if iterations(data, 0) > limits.KeyIterations {
		return nil, nil, errCostly
	}
	key, leaf, others, err := pkcs12.DecodeChain(data, password)
	if err == nil {
		return []any{key}, append([]*x509.Certificate{leaf}, others...), nil
	}
	if isWrongPassword(err) {
		return nil, nil, pkcs12Error(data, err, password)
	}
	// The library's only way to read several keys, or none; derKey reads the odd form of its blocks.
	blocks, err := pkcs12.ToPEM(data, password) //nolint:staticcheck // as told above
	if err != nil {
		return nil, nil, pkcs12Error(data, err, password)
	}
	for _, block := range blocks {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, errors.New("holds a certificate that cannot be read")
			}
			certs = append(certs, c)
			continue
		}
		key, err := derKey(block.Bytes)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, key)
	}
	return keys, certs, nil
}

func pemCertificates(data []byte) (certs []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("holds a certificate that cannot be read")
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// clientCertificate puts key and certificate together.
func clientCertificate(t *record.TLS, cert, key []byte, password string) (*tls.Certificate, error) {
	keys, chain, err := keyFile(key, password)
	if err != nil {
		return nil, named("tls.keyFile", t.KeyFile, "%w", err)
	}
	if t.ClientCert != "" {
		if chain, err = certificates(cert, password); err != nil {
			return nil, named("tls.clientCert", t.ClientCert, "%w", err)
		}
	}
	signer, leaf, err := pair(keys, chain)
	if err != nil {
		return nil, named("tls.keyFile", t.KeyFile, "%w", err)
	}
	out := &tls.Certificate{PrivateKey: signer, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
	for _, c := range chain {
		if c != leaf {
			out.Certificate = append(out.Certificate, c.Raw)
		}
	}
	return out, nil
}

// keyFile reads a key with or without certificates: all that the file holds.
func keyFile(data []byte, password string) (keys []any, chain []*x509.Certificate, err error) {
	if !isPEM(data) {
		return pkcs12Contents(data, password)
	}
	if keys, err = pemKeys(data, password); err != nil {
		return nil, nil, err
	}
	chain, err = pemCertificates(data)
	return keys, chain, err
}

// pair finds the one key that has its certificate in the chain.
func pair(keys []any, chain []*x509.Certificate) (signer crypto.Signer, leaf *x509.Certificate, err error) {
	signs := false
	for _, key := range keys {
		s, ok := key.(crypto.Signer)
		if !ok {
			continue
		}
		signs = true
		for _, c := range chain {
			switch {
			case !isKeyOf(s, c):
			case leaf != nil && !isKeyOf(s, leaf):
				return nil, nil, errSeveralKeys
			case leaf == nil:
				signer, leaf = s, c
			}
		}
	}
	switch {
	case len(keys) == 0:
		return nil, nil, errors.New("holds no private key")
	case !signs:
		return nil, nil, errors.New("holds a key that cannot sign")
	case len(chain) == 0:
		return nil, nil, errors.New("holds no certificate; name the file that does in tls.clientCert")
	case leaf == nil:
		return nil, nil, errors.New("holds the key of another certificate")
	}
	return signer, leaf, nil
}

func isKeyOf(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// pemKeys are the private keys of a PEM file, plain or encrypted, in PKCS#8 or
// the older forms.
func pemKeys(data []byte, password string) (keys []any, err error) {
	none := errors.New("holds no private key")
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		der, read := block.Bytes, derKey
		switch block.Type {
		case "ENCRYPTED PRIVATE KEY":
			if password == "" {
				return nil, errNoPassword
			}
			key, err := encryptedPKCS8(der, []byte(password))
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
			continue
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		case "OPENSSH PRIVATE KEY":
			none = errOpenSSH
			continue
		case "DSA PRIVATE KEY":
			none = errKeyKind
			continue
		default:
			continue
		}
		if x509.IsEncryptedPEMBlock(block) { //nolint:staticcheck // weak, but what older tools write
			if password == "" {
				return nil, errNoPassword
			}
			der, err = x509.DecryptPEMBlock(block, []byte(password)) //nolint:staticcheck // as above
			switch {
			case errors.Is(err, x509.IncorrectPasswordError):
				return nil, errWrongPassword
			case err != nil:
				return nil, errOldCipher
			}
			read = openedKey
		}
		key, err := read(der)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, none
	}
	return keys, nil
}

// openedKey reads a private key that a password has opened. One wrong password of
// 256 leaves what looks padded as it should be, but no ASN.1.
func openedKey(der []byte) (any, error) {
	var whole asn1.RawValue
	if !parse(der, &whole) || whole.Tag != asn1.TagSequence {
		return nil, errWrongPassword
	}
	return derKey(der)
}

// derKey reads a private key in PKCS#8 or one of the older forms.
func derKey(der []byte) (any, error) {
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
	} {
		if key, err := parse(der); err == nil {
			return key, nil
		}
	}
	return nil, errKeyKind
}
