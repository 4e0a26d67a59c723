package persist

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A backup is one stream, made and read without going back in it. Numbers are little endian.
//
//	backup: head, blocks, one end block, and nothing after it
//	head:   "emBACKUP" | format (2) | least format that its reader must know (2) | flags (4; 1: encrypted) | salt (32) |
//	        length of about (4) | about: JSON, BackupAbout | CRC-32C of all that (4)
//	block:  kind (1) | bytes inside (4) | bytes stored (4) | CRC-32C (4) of its number (8), kind, both lengths and what is stored | stored
//
// What is stored is the content, compressed by zstd, and then, in an encrypted backup, sealed by AES-256-GCM. The key of that is drawn from
// the store's by HKDF-SHA-256 with the salt, so that it serves this backup alone; the nonce is the block's number (12, big endian); SHA-256
// of the head, kind and bytes inside are authenticated with it. So no block can be changed, left out, doubled or moved.
//
//	'i'  starts of the node: pairs of number (4, big endian) and incarnation, see incarnation.go
//	'f'  one small file that travels along: uvarint length of its name | name | content
//	'r'  records, in ascending order of keys: uvarint length, key, uvarint length, value, and so on
//	'e'  the end: JSON, backupEnd
//
// Compatibility: a reader takes what asks for no more than it knows, and passes over kinds of blocks that it does not know, which are
// lower-case letters; format is raised by anything new, the least format only by what an older reader would get wrong. The records carry
// versions of their own: whoever loads them refuses a newer one by name, and never guesses.
const (
	backupMagic     = "emBACKUP"
	backupFormat    = 1
	backupNeeds     = 1
	backupEncrypted = 1

	backupSaltBytes = 32
	backupHeadFixed = 8 + 2 + 2 + 4 + backupSaltBytes + 4
	backupAboutMax  = 64 << 10
	blockHeadBytes  = 1 + 4 + 4 + 4
	blockTarget     = 256 << 10 // of content: what one commit of a restore writes
	blockMax        = 64 << 20  // of content, and more than any record has; a reader takes no more
	blockStoredMax  = blockMax + blockMax/64 + 1<<10
	backupFileMax   = 1 << 20
	backupKeyInfo   = "edgemem backup 1"
)

const (
	blockIncarnations = 'i'
	blockFile         = 'f'
	blockRecords      = 'r'
	blockEnd          = 'e'
)

var (
	// ErrBackup: what was read is no backup, or not a whole one. *BackupError says where.
	ErrBackup = errors.New("persist: damaged backup")

	errBlockSum    = errors.New("checksum mismatch")
	errBlockShape  = errors.New("lengths out of bounds")
	errBlockOpen   = errors.New("cannot be decrypted: it was changed")
	errBlockInside = errors.New("content malformed")
	errBackupCut   = errors.New("ends too early")
	errBackupMore  = errors.New("bytes follow its end")
)

// BackupError says where a backup is damaged. errors.Is(err, ErrBackup) holds for it.
type BackupError struct {
	Offset int64 // of the block, in bytes; 0: the head
	Block  int   // its number, from 0; -1: the head
	Err    error
}

// Error says what is wrong, and where.
func (e *BackupError) Error() string {
	where := fmt.Sprintf("block %d at byte %d", e.Block, e.Offset)
	if e.Block < 0 {
		where = "its head"
	}
	return fmt.Sprintf("%v: %s: %v", ErrBackup, where, e.Err)
}

// Is makes every BackupError an ErrBackup.
func (e *BackupError) Is(target error) bool { return target == ErrBackup }

// Unwrap gives the cause.
func (e *BackupError) Unwrap() error { return e.Err }

// BackupAbout stands readable at the front of a backup, encrypted or not.
type BackupAbout struct {
	Made    string   `json:"made"`            // RFC 3339, by the node's clock
	By      string   `json:"by,omitempty"`    // program and version
	Name    string   `json:"name,omitempty"`  // of the node
	Node    string   `json:"node,omitempty"`  // its id; absent where the backup leaves it out
	Store   string   `json:"store"`           // id of the store
	Commit  uint64   `json:"commit"`          // the last one that is in it
	Records uint64   `json:"records"`         // how many it has
	Bytes   int64    `json:"bytes"`           // of their keys and values, about
	Files   []string `json:"files,omitempty"` // that travel along
}

// backupEnd is the content of the last block: a stream without it is cut.
type backupEnd struct {
	Blocks  uint64 `json:"blocks"` // before this one
	Records uint64 `json:"records"`
	SHA256  []byte `json:"sha256"` // of everything before this block
}

type backupHead struct {
	raw       []byte
	encrypted bool
	salt      []byte
	About     BackupAbout
}

func newBackupHead(about BackupAbout, salt []byte, encrypted bool) (*backupHead, error) {
	text, err := json.Marshal(about)
	if err != nil {
		return nil, err
	}
	if len(text) > backupAboutMax {
		return nil, errBlockShape
	}
	flags := uint32(0)
	if encrypted {
		flags = backupEncrypted
	}
	b := binary.LittleEndian.AppendUint16([]byte(backupMagic), backupFormat)
	b = binary.LittleEndian.AppendUint16(b, backupNeeds)
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(b, salt...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return &backupHead{raw: b, encrypted: encrypted, salt: salt, About: about}, nil
}

var errNoBackup = errors.New("not a backup: it does not begin as one")

func readBackupHead(r io.Reader) (*backupHead, error) {
	raw := make([]byte, backupHeadFixed)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, headError(cutShort(err, errNoBackup))
	}
	if string(raw[:8]) != backupMagic {
		return nil, headError(errNoBackup)
	}
	if needs := binary.LittleEndian.Uint16(raw[10:]); needs > backupFormat {
		return nil, fmt.Errorf("%w: the backup asks for a reader of format %d, this program knows %d; use a newer edgemem", ErrVersion, needs, backupFormat)
	}
	n := binary.LittleEndian.Uint32(raw[backupHeadFixed-4:])
	if n > backupAboutMax {
		return nil, headError(errBlockShape)
	}
	raw = append(raw, make([]byte, n+4)...)
	if _, err := io.ReadFull(r, raw[backupHeadFixed:]); err != nil {
		return nil, headError(cutShort(err, errBackupCut))
	}
	body := raw[:len(raw)-4]
	if binary.LittleEndian.Uint32(raw[len(body):]) != crc32.Checksum(body, castagnoli) {
		return nil, headError(errBlockSum)
	}
	flags := binary.LittleEndian.Uint32(raw[12:])
	h := &backupHead{raw: raw, encrypted: flags&backupEncrypted != 0, salt: raw[16 : 16+backupSaltBytes]}
	if err := json.Unmarshal(body[backupHeadFixed:], &h.About); err != nil {
		return nil, headError(err)
	}
	return h, nil
}

func headError(err error) error { return &BackupError{Block: -1, Err: err} }

// cutShort turns the end of a stream into what that means here; other errors of reading stay.
func cutShort(err, meaning error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return meaning
	}
	return err
}

// sealer gives the cipher of one backup; nil where it is not encrypted.
func (h *backupHead) sealer(key []byte) (cipher.AEAD, error) {
	if !h.encrypted {
		return nil, nil
	}
	if key == nil {
		return nil, fmt.Errorf("%w: the backup is encrypted; give the key of the store that it was made of", ErrKey)
	}
	own, err := hkdf.Key(sha256.New, key, h.salt, backupKeyInfo, KeyBytes)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// bond is what is authenticated with a block, beside its content.
func (h *backupHead) bond(kind byte, inside int) []byte {
	sum := sha256.Sum256(h.raw)
	return binary.LittleEndian.AppendUint32(append(sum[:], kind), uint32(inside))
}

func blockNonce(number uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), number)
}

func blockSum(number uint64, head, stored []byte) uint32 {
	sum := crc32.Update(0, castagnoli, binary.LittleEndian.AppendUint64(nil, number))
	sum = crc32.Update(sum, castagnoli, head[:9])
	return crc32.Update(sum, castagnoli, stored)
}

// blockWriter writes a backup.
type blockWriter struct {
	w       io.Writer
	head    *backupHead
	seal    cipher.AEAD // nil: plain
	encoder *zstd.Encoder
	sum     hash.Hash
	number  uint64
	written int64
	stored  []byte // reused
	sealed  []byte // reused
}

func newBlockWriter(w io.Writer, head *backupHead, key []byte) (*blockWriter, error) {
	seal, err := head.sealer(key)
	if err != nil {
		return nil, err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(blockTarget))
	if err != nil {
		return nil, err
	}
	b := &blockWriter{w: w, head: head, seal: seal, encoder: encoder, sum: sha256.New()}
	return b, b.write(head.raw)
}

func (b *blockWriter) write(data []byte) error {
	n, err := b.w.Write(data)
	b.written += int64(n)
	b.sum.Write(data[:n])
	return err
}

func (b *blockWriter) put(kind byte, content []byte) error {
	if len(content) > blockMax {
		return fmt.Errorf("a block of %d bytes, at most %d", len(content), blockMax)
	}
	b.stored = b.encoder.EncodeAll(content, b.stored[:0])
	out := b.stored
	if b.seal != nil {
		b.sealed = b.seal.Seal(b.sealed[:0], blockNonce(b.number), b.stored, b.head.bond(kind, len(content)))
		out = b.sealed
	}
	head := make([]byte, 0, blockHeadBytes)
	head = binary.LittleEndian.AppendUint32(append(head, kind), uint32(len(content)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(out)))
	head = binary.LittleEndian.AppendUint32(head, blockSum(b.number, head, out))
	if err := b.write(head); err != nil {
		return err
	}
	b.number++
	return b.write(out)
}

func (b *blockWriter) end(records uint64) error {
	text, err := json.Marshal(backupEnd{Blocks: b.number, Records: records, SHA256: b.sum.Sum(nil)})
	if err != nil {
		return err
	}
	return b.put(blockEnd, text)
}

// blockReader reads a backup. It believes no length before it has the bytes.
type blockReader struct {
	r       io.Reader
	head    *backupHead
	open    cipher.AEAD // nil: plain
	decoder *zstd.Decoder
	sum     hash.Hash
	number  uint64
	at      int64 // offset of the block that is next
	stored  bytes.Buffer
	content []byte // reused
}

// newFrameReader reads blocks without looking into them.
func newFrameReader(r io.Reader) (*blockReader, error) {
	head, err := readBackupHead(r)
	if err != nil {
		return nil, err
	}
	b := &blockReader{r: r, head: head, sum: sha256.New(), at: int64(len(head.raw))}
	b.sum.Write(head.raw)
	return b, nil
}

func newBlockReader(r io.Reader, key []byte) (*blockReader, error) {
	b, err := newFrameReader(r)
	if err != nil {
		return nil, err
	}
	if b.open, err = b.head.sealer(key); err != nil {
		return nil, err
	}
	b.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(blockMax), zstd.WithDecodeAllCapLimit(true))
	return b, err
}

func (b *blockReader) close() {
	if b.decoder != nil {
		b.decoder.Close()
	}
}

// block is one block as found.
type block struct {
	kind    byte
	content []byte // valid until the next one is read
	inside  int    // bytes of content
	sum     []byte // of all bytes before it
	past    bool   // its lengths were in bounds, so that reading can go on after it
}

func (b *blockReader) fail(err error) error {
	return &BackupError{Offset: b.at, Block: int(b.number), Err: err}
}

// next reads a block. After an error with past set the next call reads the one behind it.
func (b *blockReader) next() (x block, err error) {
	x, raw, err := b.frame()
	if err == nil && b.decoder != nil {
		x.content, err = b.inside(x.kind, raw)
	}
	if err != nil {
		err = b.fail(err)
	}
	if x.past {
		b.at += int64(blockHeadBytes + len(raw.stored))
		b.number++
	}
	return x, err
}

type frame struct {
	inside int
	stored []byte
}

// frame reads a block and checks its checksum.
func (b *blockReader) frame() (x block, raw frame, err error) {
	var head [blockHeadBytes]byte
	if _, err := io.ReadFull(b.r, head[:]); err != nil {
		return x, raw, cutShort(err, errBackupCut)
	}
	x.kind = head[0]
	inside, stored := binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint32(head[5:])
	if x.kind < 'a' || x.kind > 'z' || inside > blockMax || stored > blockStoredMax {
		return x, raw, errBlockShape
	}
	b.stored.Reset()
	if _, err := io.CopyN(&b.stored, b.r, int64(stored)); err != nil {
		return x, raw, cutShort(err, errBackupCut)
	}
	raw = frame{int(inside), b.stored.Bytes()}
	x.past, x.inside, x.sum = true, int(inside), b.sum.Sum(nil)
	b.sum.Write(head[:])
	b.sum.Write(raw.stored)
	if binary.LittleEndian.Uint32(head[9:]) != blockSum(b.number, head[:], raw.stored) {
		return x, raw, errBlockSum
	}
	return x, raw, nil
}

// inside decrypts and expands.
func (b *blockReader) inside(kind byte, raw frame) (content []byte, err error) {
	stored := raw.stored
	if b.open != nil {
		if stored, err = b.open.Open(stored[:0], blockNonce(b.number), stored, b.head.bond(kind, raw.inside)); err != nil {
			if b.number == 0 {
				return nil, fmt.Errorf("%w: it is not the one that the backup was made with, or the first block was changed", ErrKey)
			}
			return nil, errBlockOpen
		}
	}
	if cap(b.content) < raw.inside {
		b.content = make([]byte, 0, raw.inside)
	}
	content, err = b.decoder.DecodeAll(stored, b.content[:0:raw.inside])
	if err != nil || len(content) != raw.inside {
		return nil, errBlockInside
	}
	return content, nil
}

// last checks the end block against what was read, and that nothing follows.
func (b *blockReader) last(x block, records uint64) error {
	var end backupEnd
	if err := json.Unmarshal(x.content, &end); err != nil {
		return b.fail(errBlockInside)
	}
	if end.Blocks != b.number-1 || end.Records != records || !bytes.Equal(end.SHA256, x.sum) {
		return b.fail(fmt.Errorf("its end tells of %d blocks and %d records, there are %d and %d, or their sum differs", end.Blocks, end.Records, b.number-1, records))
	}
	return b.nothingMore()
}

func (b *blockReader) nothingMore() error {
	var one [1]byte
	switch _, err := io.ReadFull(b.r, one[:]); {
	case err == io.EOF:
		return nil
	case err == nil:
		return b.fail(errBackupMore)
	default:
		return err
	}
}

// CheckBackup reads a backup to its end without a key: every checksum, and that it is whole. What an encrypted one holds stays closed.
// progress, unless nil, is told after each block; its Bytes are out of the Bytes of BackupAbout, and it knows no records.
func CheckBackup(r io.Reader, progress func(BackupAbout, BackupProgress)) (BackupAbout, error) {
	b, err := newFrameReader(r)
	if err != nil {
		return BackupAbout{}, err
	}
	var p BackupProgress
	for {
		x, err := b.next()
		if err != nil {
			return b.head.About, err
		}
		if x.kind == blockEnd {
			return b.head.About, b.nothingMore()
		}
		if x.kind == blockRecords {
			p.Bytes += int64(x.inside)
		}
		if p.Stored = b.at; progress != nil {
			progress(b.head.About, p)
		}
	}
}

// appendPair writes a record.
func appendPair(b, key, value []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

// eachPair reads records; they alias b.
func eachPair(b []byte, fn func(key, value []byte) error) error {
	for len(b) > 0 {
		key, rest, err := cutField(b, 0)
		if err != nil {
			return errBlockInside
		}
		value, rest, err := cutField(rest, 0)
		if err != nil {
			return errBlockInside
		}
		b = rest
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}
