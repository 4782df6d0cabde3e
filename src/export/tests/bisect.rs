use std::cell::RefCell;
use std::future::ready;

use super::*;

/// A server that refuses requests with any of some points, takes nothing of them, and remembers all.
struct Server {
    refused: Vec<usize>,
    requests: RefCell<Vec<Vec<usize>>>,
    stored: RefCell<Vec<usize>>,
}

impl Server {
    fn refusing(refused: impl IntoIterator<Item = usize>) -> Self {
        let refused = refused.into_iter().collect();
        Self { refused, requests: RefCell::default(), stored: RefCell::default() }
    }

    fn answer(&self, part: &[usize]) -> std::future::Ready<Outcome> {
        self.requests.borrow_mut().push(part.to_vec());
        if let Some(bad) = part.iter().find(|item| self.refused.contains(item)) {
            let message = format!("{bad} is out of order");
            return ready(Outcome::Refuse { failure: ExportFailure::Refused, message });
        }
        self.stored.borrow_mut().extend(part);
        ready(Outcome::Taken)
    }

    async fn deliver(&self, count: usize, budget: &mut u32) -> Delivered<usize> {
        let items: Vec<usize> = (0..count).collect();
        deliver(&items, budget, |part| self.answer(part)).await.expect("this server never says `later`")
    }

    fn stored(&self) -> Vec<usize> {
        let mut stored = self.stored.borrow().clone();
        stored.sort_unstable();
        stored
    }
}

#[tokio::test]
async fn all_but_the_refused_points_arrive_exactly_once() {
    for (count, refused) in [
        (1_000, vec![]),
        (1, vec![0]),
        (2, vec![0]),
        (2, vec![1]),
        (3, vec![1]),
        (4, vec![0, 1]),
        (4, vec![1, 2]),
        (7, vec![0, 3, 6]),
        (1_000, vec![0]),
        (1_000, vec![999]),
        (1_000, vec![500]),
        (1_000, vec![17, 18, 613]),
    ] {
        let server = Server::refusing(refused.clone());
        let mut budget = BUDGET;
        let delivered = server.deliver(count, &mut budget).await;
        let found: Vec<usize> = delivered.refused.iter().map(|(item, _)| *item).collect();
        assert_eq!(found, refused, "of {count}");
        let expected: Vec<usize> = (0..count).filter(|item| !refused.contains(item)).collect();
        assert_eq!(server.stored(), expected, "of {count} without {refused:?}");
        assert_eq!((delivered.taken, delivered.undecided), (expected.len(), 0));
        for (item, message) in &delivered.refused {
            assert_eq!(*message, format!("{item} is out of order"));
        }
        let extra = server.requests.borrow().len() - 1;
        assert_eq!(usize::try_from(BUDGET - budget).expect("small"), extra, "of {count}");
        let mut requests = server.requests.borrow().clone();
        requests.sort();
        requests.dedup();
        assert_eq!(requests.len(), extra + 1, "a request was sent twice as it was");
    }
}

#[tokio::test]
async fn one_bad_point_among_a_thousand_costs_few_requests() {
    for bad in [0, 499, 500, 999] {
        let server = Server::refusing([bad]);
        let mut budget = BUDGET;
        server.deliver(1_000, &mut budget).await;
        assert!(BUDGET - budget <= 20, "{} extra requests for {bad}", BUDGET - budget);
    }
}

#[tokio::test]
async fn a_server_that_refuses_all_is_not_asked_more_often_than_the_budget_allows() {
    let server = Server::refusing(0..1_000);
    let mut budget = BUDGET;
    let delivered = server.deliver(1_000, &mut budget).await;
    assert_eq!(budget, 0);
    assert_eq!(server.requests.borrow().len(), 65);
    assert_eq!(delivered.taken, 0);
    assert_eq!(delivered.refused.len() + delivered.undecided, 1_000);
    assert!(delivered.undecided_message.expect("there are undecided points").contains("out of order"));

    // With nothing left, a further request is sent as it is, once.
    let further = server.deliver(10, &mut budget).await;
    assert_eq!(server.requests.borrow().len(), 66);
    assert_eq!(further.undecided, 10);
}

#[tokio::test]
async fn many_bad_points_end_at_the_budget_and_every_point_is_accounted_for() {
    let refused: Vec<usize> = (0..1_000).step_by(9).collect();
    let server = Server::refusing(refused);
    let mut budget = BUDGET;
    let delivered = server.deliver(1_000, &mut budget).await;
    assert_eq!(budget, 0);
    assert_eq!(delivered.taken + delivered.refused.len() + delivered.undecided, 1_000);
    assert_eq!(server.stored().len(), delivered.taken);
    assert!(delivered.undecided > 0 && delivered.taken > 0);
}

#[tokio::test]
async fn a_server_that_asks_for_patience_is_left_alone_at_once() {
    let requests = RefCell::new(0);
    let items: Vec<usize> = (0..8).collect();
    let halt = deliver(&items, &mut 64, |part: &[usize]| {
        *requests.borrow_mut() += 1;
        ready(if part.len() == 8 {
            Outcome::Refuse { failure: ExportFailure::Refused, message: "bad".into() }
        } else {
            let message = "later".into();
            Outcome::Retry { after_ms: Some(7_000), failure: ExportFailure::Throttled, message }
        })
    })
    .await
    .expect_err("must stop");
    assert_eq!(
        halt,
        Halt { after_ms: Some(7_000), failure: ExportFailure::Throttled, message: "later".into() }
    );
    assert_eq!(*requests.borrow(), 2);
}

#[tokio::test]
async fn a_server_with_a_limit_on_points_gets_all_of_them() {
    let stored = RefCell::new(Vec::new());
    let items: Vec<usize> = (0..1_000).collect();
    let mut budget = BUDGET;
    let delivered = deliver(&items, &mut budget, |part: &[usize]| {
        if part.len() > 300 {
            return ready(Outcome::Refuse { failure: ExportFailure::Refused, message: "too large".into() });
        }
        stored.borrow_mut().extend_from_slice(part);
        ready(Outcome::Taken)
    })
    .await
    .expect("never says `later`");
    assert_eq!((delivered.taken, delivered.refused.len(), delivered.undecided), (1_000, 0, 0));
    stored.borrow_mut().sort_unstable();
    assert_eq!(*stored.borrow(), items);
}

#[tokio::test]
async fn rejected_points_of_several_answers_add_up() {
    let items = [1, 2];
    let delivered = deliver(&items, &mut 8, |part: &[i32]| {
        ready(if part.len() == 2 {
            Outcome::Refuse { failure: ExportFailure::Refused, message: "no".into() }
        } else {
            Outcome::Partial { rejected: 1, message: format!("not {}", part[0]) }
        })
    })
    .await
    .expect("never says `later`");
    assert_eq!(delivered.partial, Some((2, "not 2".into())));
}
