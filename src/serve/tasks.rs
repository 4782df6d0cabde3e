//! Tasks by name, of one kind, that follow a configuration: one is started, given another target, or stopped, and the
//! others go on undisturbed.
//!
//! Invariants: at most one task of a name runs at a time; how a name fares is counted from the first time that this
//! process had a task for it. Deliberately absent: what a task does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::telemetry::EndpointStats;

/// How each task fares, by its name.
pub type Stats = Vec<(String, Arc<Mutex<EndpointStats>>)>;

/// The tasks of one kind. `T` is what a task works with.
pub struct Tasks<T> {
    live: BTreeMap<String, Live<T>>,
    /// Those that were told to stop.
    leaving: Vec<(String, JoinHandle<()>)>,
    /// Of every name that there ever was.
    stats: BTreeMap<String, Arc<Mutex<EndpointStats>>>,
}

struct Live<T> {
    target: watch::Sender<Arc<T>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a new task gets.
pub struct Begin<T> {
    /// Its name.
    pub name: String,
    /// What it works with, now and later.
    pub targets: watch::Receiver<Arc<T>>,
    /// Where it counts how it fares.
    pub stats: Arc<Mutex<EndpointStats>>,
    /// Turns true, or loses its sender, when it shall end.
    pub stopped: watch::Receiver<bool>,
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self { live: BTreeMap::new(), leaving: Vec::new(), stats: BTreeMap::new() }
    }
}

impl<T: PartialEq + Send + Sync + 'static> Tasks<T> {
    /// Makes the tasks those that are wanted: stops the others, tells those whose target is another, and starts new ones.
    /// Returns whether there was anything to do.
    pub fn set<F>(&mut self, wanted: Vec<(String, T)>, begin: impl Fn(Begin<T>) -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.leaving.retain(|(_, task)| !task.is_finished());
        let gone = self.live.extract_if(.., |name, _| wanted.iter().all(|(wanted, _)| wanted != name));
        let mut changed = false;
        for (name, Live { stop, task, .. }) in gone {
            changed = true;
            stop.send_replace(true);
            self.leaving.push((name, task));
        }
        for (name, target) in wanted {
            match self.live.get(&name) {
                Some(live) if **live.target.borrow() == target => continue,
                Some(live) => _ = live.target.send_replace(Arc::new(target)),
                None => self.start(name, target, &begin),
            }
            changed = true;
        }
        changed
    }

    fn start<F>(&mut self, name: String, target: T, begin: impl Fn(Begin<T>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let before = self.leaving.iter().position(|(leaving, _)| *leaving == name);
        let before = before.map(|at| self.leaving.swap_remove(at).1);
        let (target, targets) = watch::channel(Arc::new(target));
        let (stop, stopped) = watch::channel(false);
        let stats = Arc::clone(self.stats.entry(name.clone()).or_default());
        let work = begin(Begin { name: name.clone(), targets, stats, stopped });
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // What it had to say, it has said.
                _ = before.await;
            }
            work.await;
        });
        self.live.insert(name, Live { target, stop, task });
    }

    /// Returns how the tasks fare, by name.
    pub fn stats(&self) -> Stats {
        let known = self.stats.iter().filter(|(name, _)| self.live.contains_key(*name));
        known.map(|(name, stats)| (name.clone(), Arc::clone(stats))).collect()
    }

    /// Tells all tasks to end. Returns them, so that they can be waited for.
    pub fn stop(&mut self) -> Vec<JoinHandle<()>> {
        let live = std::mem::take(&mut self.live).into_values();
        let stopped = live.map(|Live { stop, task, .. }| {
            stop.send_replace(true);
            task
        });
        stopped.chain(self.leaving.drain(..).map(|(_, task)| task)).collect()
    }
}

/// Waits for the end of tasks, but no longer than that; those that are left are cut off.
pub async fn ended(tasks: Vec<JoinHandle<()>>, within: Duration) {
    let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
    let all = async {
        for task in tasks {
            _ = task.await;
        }
    };
    if tokio::time::timeout(within, all).await.is_err() {
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// Tasks that tell of their beginning, of each target and of their end.
    struct Told {
        tasks: Tasks<u32>,
        said: mpsc::UnboundedSender<String>,
        heard: mpsc::UnboundedReceiver<String>,
    }

    impl Told {
        fn new() -> Self {
            let (said, heard) = mpsc::unbounded_channel();
            Self { tasks: Tasks::default(), said, heard }
        }

        /// Returns whether there was anything to do.
        fn set(&mut self, wanted: &[(&str, u32)]) -> bool {
            let wanted = wanted.iter().map(|(name, target)| ((*name).to_owned(), *target)).collect();
            let said = self.said.clone();
            self.tasks.set(wanted, |begin| {
                let said = said.clone();
                async move {
                    let Begin { name, mut targets, mut stopped, .. } = begin;
                    loop {
                        let target = **targets.borrow_and_update();
                        said.send(format!("{name} {target}")).unwrap();
                        tokio::select! {
                            _ = stopped.wait_for(|stop| *stop) => break,
                            Ok(()) = targets.changed() => {}
                        }
                    }
                    said.send(format!("{name} ends")).unwrap();
                }
            })
        }

        /// What was said until all tasks wait.
        async fn heard(&mut self) -> Vec<String> {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let mut heard: Vec<String> = std::iter::from_fn(|| self.heard.try_recv().ok()).collect();
            heard.sort();
            heard
        }
    }

    #[tokio::test]
    async fn only_what_changed_is_disturbed() {
        let mut told = Told::new();
        told.set(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(told.heard().await, ["a 1", "b 1", "c 1"]);
        told.set(&[("a", 1), ("b", 2), ("d", 1)]);
        assert_eq!(told.heard().await, ["b 2", "c ends", "d 1"]);
        assert!(!told.set(&[("a", 1), ("b", 2), ("d", 1)]), "nothing to do");
        assert!(told.heard().await.is_empty());
        let names = |told: &Told| told.tasks.stats().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&told), ["a", "b", "d"]);
        ended(told.tasks.stop(), Duration::from_secs(60)).await;
        assert_eq!(told.heard().await, ["a ends", "b ends", "d ends"]);
        assert!(names(&told).is_empty());
    }

    #[tokio::test]
    async fn a_name_that_comes_back_waits_for_its_last_task_and_counts_on() {
        let mut told = Told::new();
        told.set(&[("a", 1)]);
        told.heard().await;
        told.tasks.stats()[0].1.lock().unwrap().attempts = 7;
        told.set(&[]);
        told.set(&[("a", 2)]);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let order: Vec<String> = std::iter::from_fn(|| told.heard.try_recv().ok()).collect();
        assert_eq!(order, ["a ends", "a 2"]);
        assert_eq!(told.tasks.stats()[0].1.lock().unwrap().attempts, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_cut_off() {
        let task = tokio::spawn(std::future::pending());
        let handle = task.abort_handle();
        ended(vec![task], Duration::from_secs(4)).await;
        tokio::task::yield_now().await;
        assert!(handle.is_finished());
    }
}
