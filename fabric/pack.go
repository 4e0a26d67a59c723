package fabric

// packing is how values are packed in memory: zstd, by the codecs that pulls use.
type packing struct{ codecs *codecs }

// Pack appends val, compressed, to dst.
func (p packing) Pack(dst, val []byte) []byte {
	e := p.codecs.encoder()
	defer p.codecs.encoders.Put(e)
	return e.EncodeAll(val, dst)
}

// Unpack gives the size bytes that were packed.
func (p packing) Unpack(packed []byte, size int) ([]byte, error) {
	d := p.codecs.decoder()
	defer p.codecs.decoders.Put(d)
	return d.DecodeAll(packed, make([]byte, 0, size))
}
