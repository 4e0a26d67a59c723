package history_test

import (
	"fmt"
	"time"

	"github.com/edgemem/edgemem/test/lab/history"
)

// A client wrote, removed, and was answered both times; in the end the value is back.
func Example() {
	log := history.New(history.Settings{OnDiskAfter: time.Second})
	slot := history.Slot{Region: "default", Kind: history.String, Key: "k"}
	client := log.Session("client", history.Life{Node: "kiosk"})
	client.Record(
		history.Op{Slot: slot, Action: history.Write, Value: "v", Invoked: 1 * time.Second, Returned: 2 * time.Second, Answered: true},
		history.Op{Slot: slot, Action: history.Remove, Invoked: 3 * time.Second, Returned: 4 * time.Second, Answered: true},
	)
	end := history.State{Node: "kiosk", Values: map[history.Slot]string{slot: "v"}}
	for _, v := range log.Check(0, time.Minute, end) {
		fmt.Println(v.Kind, v.Slot)
	}
	// Output: returned string k in default
}
