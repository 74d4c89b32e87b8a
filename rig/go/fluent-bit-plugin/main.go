// Grafana's Fluent Bit plugin without Fluent Bit around it: test equipment.
//
// The build puts the plugin's own config.go, loki.go, buffer.go, dque.go and client.go beside this file, out
// of the pinned module; what is left out is the binding to C. It reads one JSON document from stdin: the
// options of an output, and records as Fluent Bit would hand them over. With no records it parses the
// options. It prints what it made of them, and logs as the plugin does, to stderr. Between two records it makes
// a pause, and after the last one it stops when its stdin ends.
//
// With a number of seeds it doesn't ship: for each seed it asks the plugin's own backoff for the waits of a
// batch that never gets through, and prints the shortest and the longest sum of them.
package main

// So that a seed gives the same waits again (math/rand, Seed).
//
//go:debug randseednop=0

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"os"
	"strings"
	"time"

	"github.com/grafana/dskit/backoff"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grafana/loki/v3/clients/pkg/promtail/client"
)

// options are looked up as Fluent Bit does it: whatever the case of a key. They note what is asked for.
type options struct {
	values map[string]string
	asked  []string
}

func (o *options) Get(key string) string {
	o.asked = append(o.asked, key)
	return o.values[strings.ToLower(key)]
}

type order struct {
	Options map[string]string `json:"options"`
	Records []map[string]any  `json:"records"`
	Seeds   int64             `json:"seeds"`
	Pause   time.Duration     `json:"pause"`
}

type waited struct {
	Shortest time.Duration `json:"shortest"`
	Longest  time.Duration `json:"longest"`
}

type parsed struct {
	URL        string            `json:"url"`
	User       string            `json:"user"`
	Password   string            `json:"password"`
	BatchWait  time.Duration     `json:"batchWait"`
	BatchSize  int               `json:"batchSize"`
	Timeout    time.Duration     `json:"timeout"`
	MinBackoff time.Duration     `json:"minBackoff"`
	MaxBackoff time.Duration     `json:"maxBackoff"`
	MaxRetries int               `json:"maxRetries"`
	Labels     map[string]string `json:"labels"`
	LabelKeys  []string          `json:"labelKeys"`
	RemoveKeys []string          `json:"removeKeys"`
	KeyValue   bool              `json:"keyValue"`
	Buffer     bool              `json:"buffer"`
	QueueDir   string            `json:"queueDir"`
	QueueName  string            `json:"queueName"`
	Asked      []string          `json:"asked"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var given order
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		return err
	}
	found := options{values: map[string]string{}}
	for key, value := range given.Options {
		found.values[strings.ToLower(key)] = value
	}
	conf, err := parseConfig(&found)
	if err != nil {
		return err
	}
	if given.Seeds > 0 {
		return json.NewEncoder(os.Stdout).Encode(tried(conf.clientConfig.BackoffConfig, given.Seeds))
	}
	if err := json.NewEncoder(os.Stdout).Encode(describe(conf, found.asked)); err != nil || len(given.Records) == 0 {
		return err
	}
	return ship(conf, given.Records, given.Pause)
}

// tried says how long after the first try of a batch the last one begins (client.go, sendBatch).
func tried(conf backoff.Config, seeds int64) waited {
	found := waited{Shortest: 1<<63 - 1}
	for seed := int64(1); seed <= seeds; seed++ {
		rand.Seed(seed)
		var sum time.Duration
		retries := backoff.New(context.Background(), conf)
		for wait := retries.NextDelay(); retries.Ongoing(); wait = retries.NextDelay() {
			sum += wait
		}
		found.Shortest, found.Longest = min(found.Shortest, sum), max(found.Longest, sum)
	}
	return found
}

func ship(conf *config, records []map[string]any, pause time.Duration) error {
	plugin, err := newPlugin(conf, newLogger(conf.logLevel), client.NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		return err
	}
	for _, record := range records {
		fields := map[interface{}]interface{}{}
		for key, value := range record {
			fields[key] = value
		}
		if err := plugin.sendRecord(fields, time.Now()); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	// Without this a queue on disk would be closed before it is read.
	time.Sleep(2 * conf.clientConfig.BatchWait)
	plugin.client.Stop()
	return nil
}

func describe(conf *config, asked []string) parsed {
	url := conf.clientConfig.URL
	password, _ := url.User.Password()
	labels := map[string]string{}
	for name, value := range conf.clientConfig.ExternalLabels.LabelSet {
		labels[string(name)] = string(value)
	}
	retries := conf.clientConfig.BackoffConfig
	return parsed{
		URL:        url.Redacted(),
		User:       url.User.Username(),
		Password:   password,
		BatchWait:  conf.clientConfig.BatchWait,
		BatchSize:  conf.clientConfig.BatchSize,
		Timeout:    conf.clientConfig.Timeout,
		MinBackoff: retries.MinBackoff,
		MaxBackoff: retries.MaxBackoff,
		MaxRetries: retries.MaxRetries,
		Labels:     labels,
		LabelKeys:  conf.labelKeys,
		RemoveKeys: conf.removeKeys,
		KeyValue:   conf.lineFormat == kvPairFormat,
		Buffer:     conf.bufferConfig.buffer,
		QueueDir:   conf.bufferConfig.dqueConfig.queueDir,
		QueueName:  conf.bufferConfig.dqueConfig.queueName,
		Asked:      asked,
	}
}
