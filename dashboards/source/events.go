package main

import "fmt"

// stream is this exporter's events in Loki, whichever way they came: as OTLP logs with attributes, or as lines of JSON from
// its standard output.
const stream = `{service_name=~".*openclaw-usage.*"} | json | drop __error__, __error_details__`

// perStatus counts events over time by a label.
func perStatus(lines, label string) string {
	return fmt.Sprintf("sum by (%s) (count_over_time(%s [$__auto]))", label, lines)
}
