// A Go worker of the same shape as the seed's peer, written from its description: stdlib gzip, line scanner, decode every line into a
// map, filter, re-marshal, produce with librdkafka (zstd, linger 1000 ms, batch 1 MiB, as the peer is configured).
//
//	go_peer EVENTS.ndjson.gz dry|kafka BOOTSTRAP std|jsoniter rounds TOPIC
package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	jsoniter "github.com/json-iterator/go"
)

func cpu() float64 {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return float64(r.Utime.Sec+r.Stime.Sec) + float64(r.Utime.Usec+r.Stime.Usec)/1e6
}

func main() {
	file, mode, boot, lib := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	rounds, _ := strconv.Atoi(os.Args[5])
	unmarshal, marshal := json.Unmarshal, json.Marshal
	if lib == "jsoniter" {
		j := jsoniter.ConfigDefault
		unmarshal, marshal = j.Unmarshal, j.Marshal
	}
	for r := 0; r < rounds; r++ {
		var p *kafka.Producer
		var bad, good int64
		if mode == "kafka" {
			var err error
			p, err = kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": boot, "queue.buffering.max.messages": 200000, "queue.buffering.max.kbytes": 1 << 20,
				"batch.size": 1048576, "linger.ms": 1000, "compression.type": "zstd", "message.max.bytes": 4000000})
			if err != nil {
				panic(err)
			}
			go func() {
				for e := range p.Events() {
					if m, ok := e.(*kafka.Message); ok {
						if m.TopicPartition.Error != nil {
							atomic.AddInt64(&bad, 1)
						} else {
							atomic.AddInt64(&good, 1)
						}
					}
				}
			}()
		}
		t, c, n, kept, bytes := time.Now(), cpu(), 0, 0, 0
		topic := os.Args[6]
		f, _ := os.Open(file)
		gz, err := gzip.NewReader(f)
		if err != nil {
			panic(err)
		}
		s := bufio.NewScanner(gz)
		s.Buffer(make([]byte, 1<<20), 10<<20)
		from, _ := time.Parse(time.RFC3339, "2024-05-01T00:00:00Z")
		for s.Scan() {
			n++
			bytes += len(s.Bytes())
			var m map[string]any
			if unmarshal(s.Bytes(), &m) != nil {
				continue
			}
			o, _ := m["origin"].(map[string]any)
			id, _ := o["sourceId"].(string)
			ts, _ := m["messageCreated"].(string)
			if tt, err := time.Parse(time.RFC3339Nano, ts); id == "" || err != nil || tt.Before(from) {
				continue
			}
			kept++
			b, _ := marshal(m)
			if p != nil {
				msg := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny}, Value: b, Key: []byte(ts),
					Headers: []kafka.Header{{Key: "connection_ids", Value: []byte("conn-1234567890abcdef-0001")}, {Key: "reprocess_job", Value: []byte("9f8b2c1d")}}}
				for p.Produce(msg, nil) != nil {
					time.Sleep(5 * time.Millisecond)
				}
			}
		}
		if p != nil {
			for p.Flush(1000) > 0 {
			}
		}
		w, u := time.Since(t).Seconds(), cpu()-c // before Close(), which idles
		if p != nil {
			p.Close()
		}
		fmt.Printf("  go %-8s %-5s %8.1f kev/s %6.0f MB/s  cpu %6.2f us/ev (%3.0f%%)  lines=%d kept=%d acked=%d bad=%d\n", lib, mode, float64(n)/w/1e3, float64(bytes)/w/1e6, u/float64(n)*1e6, u/w*100, n, kept, good, bad)
	}
}
