package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// file is a file of an archive.
type file struct {
	name    string
	mode    fs.FileMode
	content []byte
}

func byName(a, b file) int { return strings.Compare(a.name, b.name) }

// modified is the time of every file in an archive: the earliest in ZIP.
var modified = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func packZip(files ...file) []byte {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	w.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: modified}
		header.SetMode(f.mode)
		entry, err := w.CreateHeader(header)
		must(err)
		_, err = entry.Write(f.content)
		must(err)
	}
	must(w.Close())
	return packed.Bytes()
}

func packTar(files ...file) []byte {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	w := tar.NewWriter(zipped)
	for _, f := range files {
		must(w.WriteHeader(&tar.Header{
			Format: tar.FormatUSTAR, Name: f.name, Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: modified,
		}))
		_, err := w.Write(f.content)
		must(err)
	}
	must(errors.Join(w.Close(), zipped.Close()))
	return packed.Bytes()
}

// must is for writing to memory, which does not fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// sums writes SHA256SUMS, in the format that sha256sum -c and shasum -c read.
func (r release) sums(context.Context) error {
	entries, err := os.ReadDir(r.out) // sorted
	if err != nil {
		return fmt.Errorf("list the release: %w", err)
	}
	var sums strings.Builder
	for _, entry := range entries {
		content, err := os.Open(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return fmt.Errorf("read the release: %w", err)
		}
		hash := sha256.New()
		_, err = io.Copy(hash, content)
		if err := errors.Join(err, content.Close()); err != nil {
			return fmt.Errorf("read the release: %w", err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", hash.Sum(nil), entry.Name())
	}
	return r.write("SHA256SUMS", []byte(sums.String()))
}
