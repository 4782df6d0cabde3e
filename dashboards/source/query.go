package main

import "fmt"

// wholeRange is the range of the dashboard to the expressions below.
const wholeRange = "$__range"

// The labels that the variables at the top of a dashboard choose by.
const (
	ours    = `job=~"$job", instance=~"$instance"`
	ofJobs  = ours + `, openclaw_agent=~"$agent", openclaw_job_name=~"$cron_job"`
	ofUsage = ofJobs + `, openclaw_model=~"$model"`
)

// selector is a family with label matchers; further ones come after a comma.
func selector(metric, matchers string, further ...string) string {
	for _, more := range further {
		matchers += ", " + more
	}
	return metric + "{" + matchers + "}"
}

// exactly is by how much a counter grew in a window, to the unit: increase() would extrapolate and lose the first step of
// a series. What a series was before the window is its last value of the day before, or where it began in the window.
func exactly(series, window string) string {
	return fmt.Sprintf("(last_over_time(%[1]s[%[2]s]) - (last_over_time(%[1]s[1d] offset %[2]s) or min_over_time(%[1]s[%[2]s])))", series, window)
}

// grown is about as much, read off the days before both ends of the range alone: for quantiles, which are no exact figures and
// have many series. What ended earlier is not in it.
func grown(series string) string {
	return fmt.Sprintf("(last_over_time(%[1]s[1d]) - (last_over_time(%[1]s[1d] offset $__range) or 0 * last_over_time(%[1]s[1d])))", series)
}

// inBar is the same for one bar of a graph, which begins at its point: Grafana asks for points at whole intervals up to now, so
// that a bar before its point would leave out the interval that is running, and stand a bar too late.
func inBar(series string) string {
	return fmt.Sprintf("(last_over_time(%[1]s[$__interval] offset -$__interval) - (last_over_time(%[1]s[1d]) or min_over_time(%[1]s[$__interval] offset -$__interval)))", series)
}

// before is what an expression was at the begin of the range that is shown: with exactly, the range before, as long as it.
// A subquery, since an offset cannot be twice a variable.
func before(expression string) string {
	return "last_over_time((" + expression + ")[1s:1s] offset $__range)"
}

// sum adds up, by labels if any are given.
func sum(expression string, by ...string) string {
	if len(by) == 0 {
		return "sum(" + expression + ")"
	}
	list := by[0]
	for _, label := range by[1:] {
		list += ", " + label
	}
	return fmt.Sprintf("sum by (%s) (%s)", list, expression)
}

// titled adds the label title: the job's name, or for those that share series the id one-shot, system or other.
func titled(expression string) string {
	return `label_replace(label_replace(` + expression + `, "title", "$1", "openclaw_job_id", "(.*)"), "title", "$1", "openclaw_job_name", "(?s:(.+))")`
}

// orNone gives series without a label the value none there: a legend would show something else of theirs.
func orNone(expression, label string) string {
	return fmt.Sprintf("label_replace(%s, %q, \"none\", %q, \"\")", expression, label, label)
}

// orZero shows a plain 0 where there is nothing yet, but only while the exporter itself is there: absence stays visible.
func orZero(expression string) string {
	return fmt.Sprintf("%s or 0 * sum(%s)", expression, selector("openclaw_usage_build_info", ours))
}

// Families with their selectors.
var (
	cost         = selector("openclaw_cost_usd_total", ofUsage)
	metered      = selector("openclaw_cost_usd_total", ofUsage, `openclaw_billing="metered"`)
	subscription = selector("openclaw_cost_usd_total", ofUsage, `openclaw_billing="subscription"`)
	tokens       = selector("openclaw_tokens_total", ofUsage)
	runs         = selector("openclaw_cron_runs_total", ofUsage)
	goodRuns     = selector("openclaw_cron_runs_total", ofUsage, `openclaw_status="ok"`)
	wasted       = selector("openclaw_cron_wasted_cost_usd_total", ofUsage)
)
