// Grafana's Fluent Bit plugin without Fluent Bit around it: test equipment.
//
// The build puts the plugin's own config.go, loki.go, buffer.go, dque.go and client.go beside this file, out
// of the pinned module; what is left out is the binding to C. It reads one JSON document from stdin: the
// options of an output, and records as Fluent Bit would hand them over. With no records it parses the
// options. It prints what it made of them, and logs as the plugin does, to stderr.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grafana/loki/v3/clients/pkg/promtail/client"
)

// options are looked up as Fluent Bit does it: whatever the case of a key.
type options map[string]string

func (o options) Get(key string) string { return o[strings.ToLower(key)] }

type order struct {
	Options map[string]string `json:"options"`
	Records []map[string]any  `json:"records"`
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
	found := options{}
	for key, value := range given.Options {
		found[strings.ToLower(key)] = value
	}
	conf, err := parseConfig(found)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(describe(conf)); err != nil || len(given.Records) == 0 {
		return err
	}
	return ship(conf, given.Records)
}

func ship(conf *config, records []map[string]any) error {
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
	}
	// Without this a queue on disk would be closed before it is read.
	time.Sleep(2 * conf.clientConfig.BatchWait)
	plugin.client.Stop()
	return nil
}

func describe(conf *config) parsed {
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
	}
}
