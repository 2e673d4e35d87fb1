use super::*;

/// 20 µs for an event, and nothing for a transaction.
const PER_EVENT: WorkCost = WorkCost {
    per_event: 20.0,
    per_transaction: 0.0,
};
const NOTHING: WorkCost = WorkCost {
    per_event: 0.0,
    per_transaction: 0.0,
};
const COSTS: SlotCosts = SlotCosts {
    worker: PER_EVENT,
    daemon: WorkCost {
        per_event: 5.0,
        per_transaction: 0.0,
    },
    change_of_slot: 0.0,
    shared: NOTHING,
    event_bytes: 1_000.0,
    log_bytes: 900.0,
};
/// A daemon holds 64,000 events, so 32,000 are in transactions.
const SETTINGS: SpreadSettings = SpreadSettings {
    worker_cores: 16.0,
    shared_cores: 16.0,
    daemon_cores: 4.0,
    budget_bytes: 64e6,
    batch_events: 10_000.0,
    most_writers: 16,
};

fn equal(found: f64, wanted: f64) {
    assert!(
        (found - wanted).abs() <= wanted.abs() * 1e-9,
        "{found} instead of {wanted}"
    );
}

fn of_workers(costs: &SlotCosts, workers: u64) -> SpreadRate {
    let rates = rates(costs, &SETTINGS);
    *rates.iter().find(|rate| rate.workers == workers).unwrap()
}

#[test]
fn without_coordination_rates_are_linear() {
    let rates = rates(&COSTS, &SETTINGS);
    let workers: Vec<u64> = rates.iter().map(|rate| rate.workers).collect();
    assert_eq!(workers, [1, 2, 4, 8, 16, 32, 64]);
    for rate in rates {
        // 16 cores of 20 µs: 800,000 events a second.
        equal(rate.events_per_second, 800_000.0 * float(rate.workers));
        equal(rate.of_linear, 1.0);
        assert_eq!(rate.limit, SpreadLimit::Workers);
        equal(rate.log_bytes_per_second, 720e6);
        equal(rate.shared_busy_cores, 0.0);
    }
}

#[test]
fn a_shared_cost_of_a_transaction_saturates_where_it_must() {
    // From 16 workers on there are 64 slots, so 500 events in a transaction. 800 µs for it are 1.6 µs
    // for an event: 16 cores take 10,000,000 events a second, which is 12.5 workers.
    let costs = SlotCosts {
        shared: WorkCost {
            per_event: 0.0,
            per_transaction: 800.0,
        },
        ..COSTS
    };
    let eight = of_workers(&costs, 8);
    assert_eq!(eight.limit, SpreadLimit::Workers);
    equal(eight.of_linear, 1.0);
    // 32 slots: 1,000 events in a transaction, 0.8 µs for each.
    equal(eight.shared_busy_cores, 6_400_000.0 * 0.8 / 1e6);
    for workers in [16, 32, 64] {
        let rate = of_workers(&costs, workers);
        assert_eq!(rate.limit, SpreadLimit::SharedServer);
        equal(rate.events_per_second, 1e7);
        equal(rate.of_linear, 12.5 / float(workers));
        equal(rate.shared_busy_cores, 16.0);
    }
}

#[test]
fn transactions_of_more_slots_are_smaller_and_cost_more() {
    let worker = WorkCost {
        per_event: 20.0,
        per_transaction: 5_000.0,
    };
    let costs = SlotCosts { worker, ..COSTS };
    // 4 slots: 8,000 events; 64 slots: 500.
    equal(of_workers(&costs, 1).batch_events, 8_000.0);
    let many = of_workers(&costs, 64);
    assert_eq!((many.slots, many.connections / many.daemons), (64, 1));
    equal(many.batch_events, 500.0);
    equal(many.of_linear, (20.0 + 0.625) / (20.0 + 10.0));
    let large = SpreadSettings {
        budget_bytes: 64e9,
        ..SETTINGS
    };
    equal(rates(&costs, &large)[0].batch_events, 10_000.0);
}

#[test]
fn a_connection_changes_between_the_slots_of_its_writer_that_are_on_its_server() {
    let costs = SlotCosts {
        change_of_slot: 1_000.0,
        ..COSTS
    };
    // 16 writers for 32 slots have two each. For 64 they have four: all on one of 16 servers, two on one
    // of 32, and one on one of 64.
    let changes = rates(&costs, &SETTINGS).into_iter();
    let changes: Vec<bool> = changes.map(|rate| rate.of_linear < 0.999).collect();
    assert_eq!(changes, [false, false, false, true, true, true, false]);
}

#[test]
fn daemons_are_as_many_as_their_processors_need() {
    // 800,000 × 5 µs are 4 cores: one daemon. 51.2 million are 64.
    assert_eq!(of_workers(&COSTS, 1).daemons, 1);
    assert_eq!(of_workers(&COSTS, 64).daemons, 64);
}

#[test]
fn two_sizes_of_transactions_tell_what_one_costs() {
    let point = |micros, transactions| CostPoint {
        micros,
        transactions,
    };
    let cost = WorkCost::of_two(point(21.0, 0.001), point(70.0, 0.05));
    equal(cost.per_transaction, 1_000.0);
    equal(cost.per_event, 20.0);
    equal(cost.of_event(1_000.0), 21.0);
    // Noise, or as many transactions: all of it is the cost of events.
    let noise = WorkCost::of_two(point(21.0, 0.001), point(20.0, 0.05));
    assert_eq!((noise.per_event, noise.per_transaction), (21.0, 0.0));
    let same = WorkCost::of_two(point(21.0, 0.05), point(22.0, 0.05));
    assert_eq!((same.per_event, same.per_transaction), (21.0, 0.0));
}

#[test]
fn slots_are_powers_of_two_and_end_at_the_most() {
    let slots = [1, 2, 3, 6, 16, 17, 64, 65].map(slots_to_spread);
    let some = [4, 8, 16, 32, 64, 64, 64].map(Some);
    assert_eq!(slots[..7], some);
    assert_eq!(slots[7], None);
}
