package offheap

import "testing"

func TestClassesFit(t *testing.T) {
	t.Parallel()
	var waste, count float64
	for n := 1; n <= int(classBytes[classCount-1]); n++ {
		c := classOf(n)
		size := int(classBytes[c])
		if size < n || size%8 != 0 || c > 0 && int(classBytes[c-1]) >= n {
			t.Fatalf("%d bytes go to class %d of %d bytes", n, c, size)
		}
		if n > 32 {
			over := float64(size-n) / float64(size)
			if over > 0.18 {
				t.Fatalf("%d bytes in a slot of %d", n, size)
			}
			waste += over
			count++
		}
	}
	if waste/count > 0.06 {
		t.Errorf("slots waste %.3f on average", waste/count)
	}
}

func TestSlabsOfEveryClassFitTheirChunk(t *testing.T) {
	t.Parallel()
	for _, chunk := range chunkSizes {
		pl := planFor(chunk)
		if pl.maxBytes > 1<<15 || pl.maxBytes > chunk/16 {
			t.Errorf("chunks of %d take objects of %d", chunk, pl.maxBytes)
		}
		for c := range pl.classes {
			least, most := pl.least[c], pl.most[c]
			if slotsIn(least, classBytes[c]) == 0 || least > most || blockBytes(most) > chunk/2 || blockBytes(most) > 512<<10 {
				t.Fatalf("chunk %d, class of %d: slabs from %d to %d", chunk, classBytes[c], blockBytes(least), blockBytes(most))
			}
			if w := wasteIn(most, classBytes[c]); w > 32 {
				t.Errorf("chunk %d, class of %d: the largest slabs waste %d/256", chunk, classBytes[c], w)
			}
			for reserved := int64(0); reserved < 1<<24; reserved = reserved*2 + 1000 {
				if o := pl.orderFor(c, reserved); o < least || o > most {
					t.Fatalf("class of %d with %d reserved grows by order %d", classBytes[c], reserved, o)
				}
			}
		}
	}
}
