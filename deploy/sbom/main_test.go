package main

import (
	"bytes"
	"os"
	"slices"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// The bill of this test's own program, which is made of cyclonedx-go.
func TestBill(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := run([]string{"v1.2.3", program}, &first); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"v1.2.3", program}, &second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("two bills differ: %v", err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(&first, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Version != "v1.2.3" || c.PackageURL != "pkg:golang/orderbridge/deploy/sbom@v1.2.3" {
		t.Errorf("the program is %+v", c)
	}
	for _, name := range []string{"std", "github.com/CycloneDX/cyclonedx-go"} {
		if !slices.ContainsFunc(*bom.Components, func(c cdx.Component) bool { return c.Name == name && c.Version != "" }) {
			t.Errorf("%s is missing", name)
		}
	}
	if err := run([]string{"v1.2.3", "main.go"}, &first); err == nil {
		t.Error("a file that is not a program has a bill")
	}
}
