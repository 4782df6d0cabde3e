//! The table of figures, in Markdown so that it can be pasted.

/// Rows in the order in which they were measured.
#[derive(Default)]
pub struct Table(Vec<[String; 4]>);

impl Table {
    /// Adds a figure that shall be at most `goal`.
    pub fn at_most(&mut self, figure: &str, goal: f64, unit: &str, measured: f64) {
        self.judged(figure, "≤", goal, unit, measured, measured <= goal);
    }

    /// Adds a figure that shall be at least `goal`.
    pub fn at_least(&mut self, figure: &str, goal: f64, unit: &str, measured: f64) {
        self.judged(figure, "≥", goal, unit, measured, measured >= goal);
    }

    /// Adds a figure without a goal.
    pub fn note(&mut self, figure: &str, measured: &str) {
        self.0.push([figure.into(), String::new(), measured.into(), String::new()]);
    }

    fn judged(&mut self, figure: &str, relation: &str, goal: f64, unit: &str, measured: f64, ok: bool) {
        let verdict = if ok { "ok" } else { "short" };
        let goal = format!("{relation} {} {unit}", number(goal));
        self.0.push([figure.into(), goal, format!("{} {unit}", number(measured)), verdict.into()]);
    }

    /// Prints all rows.
    pub fn print(&self) {
        let head = ["figure", "goal", "measured", ""].map(str::to_owned);
        let rule = ["---", "---", "---", "---"].map(str::to_owned);
        let width = |column: usize| {
            self.0.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3].map(width);
        say("");
        for row in [&head, &rule].into_iter().chain(&self.0) {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            say(&format!("| {} |", cells.join(" | ")));
        }
    }
}

/// Three significant digits, thousands set off.
pub fn number(value: f64) -> String {
    if value.abs() >= 1000.0 {
        let digits = format!("{:.0}", value.abs());
        let groups: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().filter_map(|g| str::from_utf8(g).ok()).collect();
        return groups.join(",");
    }
    let decimals = if value.abs() >= 100.0 || value.fract() == 0.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the product of a bench is what it prints")]
pub fn say(line: &str) {
    println!("{line}");
}
