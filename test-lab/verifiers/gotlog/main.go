// Verifies a log directory with Go's own sumdb/note and sumdb/tlog, which share no code with ours:
// the checkpoint's signature, every entry against its tile, every tile against the root, the root
// computed again from the entries, and, where one is given, consistency with a checkpoint kept
// elsewhere.
//
// usage: gotlog LOGDIR VKEYFILE [KEPT_CHECKPOINT]
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func refuse(format string, args ...interface{}) {
	fmt.Printf("gotlog: refused: "+format+"\n", args...)
	os.Exit(1)
}

// checkpoint opens a signed note and reads the three lines of C2SP tlog-checkpoint.
func checkpoint(path string, verifier note.Verifier) tlog.Tree {
	bytes, err := os.ReadFile(path)
	if err != nil {
		refuse("%v", err)
	}
	opened, err := note.Open(bytes, note.VerifierList(verifier))
	if err != nil {
		refuse("%s: %v", path, err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		refuse("%s is not a checkpoint of %s", path, verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		refuse("%s: bad size %q", path, lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		refuse("%s: bad root %q", path, lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree
}

// tiles reads tiles of height 8 from the directory. Go's paths name the height and call entry
// bundles "data"; C2SP's do neither.
type tiles struct{ dir string }

func (t tiles) Height() int                           { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range wanted {
		bytes, err := t.read(tile)
		if err != nil {
			return nil, err
		}
		out = append(out, bytes)
	}
	return out, nil
}

func (t tiles) read(tile tlog.Tile) ([]byte, error) {
	path := strings.TrimPrefix(tile.Path(), "tile/8/")
	path = strings.Replace(path, "data/", "entries/", 1)
	return os.ReadFile(filepath.Join(t.dir, "tile", path))
}

// entries reads one bundle.
func (t tiles) entries(tile tlog.Tile) [][]byte {
	bytes, err := t.read(tile)
	if err != nil {
		refuse("%v", err)
	}
	var out [][]byte
	for len(bytes) > 0 {
		if len(bytes) < 2 || len(bytes) < 2+int(binary.BigEndian.Uint16(bytes)) {
			refuse("bundle %d ends within an entry", tile.N)
		}
		length := 2 + int(binary.BigEndian.Uint16(bytes))
		out = append(out, bytes[2:length])
		bytes = bytes[length:]
	}
	if len(out) != tile.W {
		refuse("bundle %d has %d entries and not %d", tile.N, len(out), tile.W)
	}
	return out
}

func main() {
	if len(os.Args) < 3 {
		fmt.Println("usage: gotlog LOGDIR VKEYFILE [KEPT_CHECKPOINT]")
		os.Exit(2)
	}
	vkey, err := os.ReadFile(os.Args[2])
	if err != nil {
		refuse("%v", err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		refuse("the verifier key: %v", err)
	}
	reader := tiles{os.Args[1]}
	tree := checkpoint(filepath.Join(os.Args[1], "checkpoint"), verifier)
	authenticated := tlog.TileHashReader(tree, reader)

	var stored []tlog.Hash
	mine := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, index := range indexes {
			out = append(out, stored[index])
		}
		return out, nil
	})
	for first := int64(0); first < tree.N; first += 256 {
		width := int(tree.N - first)
		if width > 256 {
			width = 256
		}
		var indexes []int64
		entries := reader.entries(tlog.Tile{H: 8, L: -1, N: first / 256, W: width})
		for at, entry := range entries {
			n := first + int64(at)
			indexes = append(indexes, tlog.StoredHashIndex(0, n))
			more, err := tlog.StoredHashes(n, entry, mine)
			if err != nil {
				refuse("entry %d: %v", n, err)
			}
			stored = append(stored, more...)
		}
		hashes, err := authenticated.ReadHashes(indexes)
		if err != nil {
			refuse("tiles over entry %d: %v", first, err)
		}
		for at, entry := range entries {
			if hashes[at] != tlog.RecordHash(entry) {
				refuse("entry %d does not hash to its tile", first+int64(at))
			}
		}
	}
	if tree.N > 0 {
		root, err := tlog.TreeHash(tree.N, mine)
		if err != nil || root != tree.Hash {
			refuse("the entries hash to %v and the checkpoint says %v (%v)", root, tree.Hash, err)
		}
		proof, err := tlog.ProveRecord(tree.N, tree.N-1, authenticated)
		if err == nil {
			err = tlog.CheckRecord(proof, tree.N, tree.Hash, tree.N-1, stored[tlog.StoredHashIndex(0, tree.N-1)])
		}
		if err != nil {
			refuse("inclusion of entry %d: %v", tree.N-1, err)
		}
	}
	if len(os.Args) > 3 {
		kept := checkpoint(os.Args[3], verifier)
		if kept.N > tree.N {
			refuse("rolled back: %d entries, and %d were signed for", tree.N, kept.N)
		}
		if kept.N > 0 {
			proof, err := tlog.ProveTree(tree.N, kept.N, authenticated)
			if err == nil {
				err = tlog.CheckTree(proof, tree.N, tree.Hash, kept.N, kept.Hash)
			}
			if err != nil {
				refuse("not a continuation of the kept checkpoint of size %d: %v", kept.N, err)
			}
		}
	}
	fmt.Printf("gotlog: %d entries verified, root %v\n", tree.N, tree.Hash)
}
