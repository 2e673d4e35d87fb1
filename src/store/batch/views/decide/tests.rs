use super::*;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A full view of a model call that completed.
fn call(number: u128) -> CallView {
    CallView {
        id: id(number),
        run: id(0),
        is_tool: false,
        name: None,
        view: 0,
        started_at: 0,
        failed: false,
        completed: true,
        has_input: true,
        has_output: true,
        has_model: true,
        count: None,
    }
}

fn counted(number: u128, parts: i32, tokens: i64) -> CallView {
    CallView {
        count: Some(ViewedCount {
            id: id(100 + number),
            parts,
            tokens,
        }),
        ..call(number)
    }
}

fn tool(number: u128, name: &str) -> CallView {
    CallView {
        is_tool: true,
        name: Some(name.into()),
        has_model: false,
        ..call(number)
    }
}

fn failed(call: CallView) -> CallView {
    CallView {
        failed: true,
        completed: false,
        has_output: false,
        ..call
    }
}

/// `call` is below `other`.
fn below(call: u128, other: u128) -> CallTie {
    CallTie {
        call: id(call),
        other: id(other),
        kind: TieKind::Nested,
    }
}

fn same(call: u128, other: u128) -> CallTie {
    CallTie {
        kind: TieKind::Same,
        ..below(call, other)
    }
}

/// Decides in every rotation and both directions of the input, which must agree.
fn decided(calls: &[CallView], ties: &[CallTie]) -> ShownViews {
    let want = decide(calls, ties);
    let (mut calls, mut ties) = (calls.to_vec(), ties.to_vec());
    for _ in 0..calls.len() {
        calls.rotate_left(1);
        for _ in 0..ties.len() {
            ties.rotate_left(1);
            assert_eq!(decide(&calls, &ties), want);
        }
        ties.reverse();
        assert_eq!(decide(&calls, &ties), want);
    }
    want
}

fn hidden(shown: &ShownViews) -> Vec<u128> {
    shown.hidden.iter().map(|id| id.as_u128()).collect()
}

fn counted_twice(shown: &ShownViews) -> Vec<u128> {
    let ids = shown.counted_twice.iter();
    ids.map(|id| id.as_u128() - 100).collect()
}

#[test]
fn the_fullest_view_shows_the_call_and_the_best_count_counts() {
    // The framework has the texts, the client below it the model and the cache.
    let framework = CallView {
        has_model: false,
        ..counted(2, 2, 2175)
    };
    let client = CallView {
        has_input: false,
        has_output: false,
        ..counted(1, 3, 2175)
    };
    let shown = decided(&[framework, client], &[below(1, 2)]);
    assert_eq!((hidden(&shown), counted_twice(&shown)), (vec![1], vec![2]));
    let [filled] = &shown.filled[..] else {
        panic!("{shown:?}")
    };
    assert_eq!((filled.id, filled.model_of), (id(2), Some(id(1))));
    assert_eq!(
        (filled.input_of, filled.output_of, filled.failure_of),
        (None, None, None)
    );
    // Three equal views: the outermost shows the call.
    let three = [counted(1, 2, 9), counted(2, 2, 9), counted(3, 2, 9)];
    let shown = decided(&three, &[below(3, 1), below(1, 2)]);
    assert_eq!(
        (hidden(&shown), counted_twice(&shown)),
        (vec![1, 3], vec![2, 3])
    );
    // A lesser view never shows the call.
    let lesser = CallView {
        view: -1,
        ..call(2)
    };
    assert_eq!(hidden(&decided(&[call(1), lesser], &[below(1, 2)])), [2]);
}

#[test]
fn a_call_around_several_calls_is_a_wrapper() {
    let ties = [below(1, 9), below(2, 9)];
    let calls = [counted(1, 2, 10), counted(2, 2, 20), counted(9, 2, 30)];
    let shown = decided(&calls, &ties);
    assert_eq!((hidden(&shown), counted_twice(&shown)), (vec![9], vec![9]));
    // Its tokens count if nothing below has any.
    let shown = decided(&[call(1), call(2), counted(9, 2, 30)], &ties);
    assert_eq!((hidden(&shown), counted_twice(&shown)), (vec![9], vec![]));
    // A failed call beside one that did not fail is an attempt.
    let shown = decided(&[failed(call(1)), call(2), call(9)], &ties);
    assert_eq!((hidden(&shown), shown.filled.len()), (vec![1, 2], 0));
    // Two views of one call below a third.
    let shown = decided(&calls, &[ties[0], ties[1], same(1, 2)]);
    assert_eq!(
        (hidden(&shown), counted_twice(&shown)),
        (vec![1, 2], vec![1, 2])
    );
}

#[test]
fn a_tool_that_calls_another_tool_is_not_one_call() {
    let tied = |outer: &str, inner: &str| {
        let shown = decided(&[tool(1, outer), tool(2, inner)], &[below(2, 1)]);
        !shown.hidden.is_empty()
    };
    for (outer, inner) in [
        ("get_weather", "get_weather"),
        ("get_weather", "execute_tool get_weather"),
        ("weather_agent.get_weather", "get_weather"),
        ("get_weather", "mcp__weather__get_weather"),
        ("get_weather.__call__", "tools/call get_weather"),
        ("get_weather", "tools/call"),
        ("execute_tool", "Get_Weather"),
    ] {
        assert!(tied(outer, inner) && tied(inner, outer), "{outer}, {inner}");
    }
    for (outer, inner) in [
        ("get_weather", "get_station"),
        ("get_weather", "weather"),
        ("toolbox", "box"),
        ("plan", "plan_trip"),
    ] {
        assert!(
            !tied(outer, inner) && !tied(inner, outer),
            "{outer}, {inner}"
        );
    }
}

#[test]
fn the_failure_of_a_tool_below_its_framework_shows() {
    let failure = |calls: &[CallView], ties: &[CallTie]| {
        let shown = decided(calls, ties);
        shown.filled.iter().find_map(|call| call.failure_of)
    };
    let [outer, client] = [tool(1, "f"), tool(2, "f")];
    let server = failed(tool(3, "f"));
    let ties = [below(2, 1), below(3, 2)];
    let calls = [outer.clone(), client.clone(), server.clone()];
    assert_eq!(failure(&calls, &ties), Some(id(3)));
    // It was tried again.
    let calls = [outer, server, client];
    assert_eq!(failure(&calls, &[below(2, 1), below(3, 1)]), None);
    // Of a model call only what is above the view that shows it.
    let attempt = [call(1), failed(call(2))];
    assert_eq!(failure(&attempt, &[below(2, 1)]), None);
    assert_eq!(failure(&attempt, &[below(1, 2)]), Some(id(2)));
}

#[test]
fn a_circle_of_calls_ends() {
    let shown = decided(&[call(1), call(2)], &[below(1, 2), below(2, 1)]);
    assert_eq!(shown.hidden.len(), 1);
}

#[test]
fn many_circles_of_calls_cost_as_much_as_their_calls() {
    // Quadratic work takes minutes.
    const CALLS: u128 = 200_000;
    let calls: Vec<CallView> = (0..CALLS).map(call).collect();
    let pairs: Vec<CallTie> = (0..CALLS).map(|n| below(n, n ^ 1)).collect();
    let mut chain: Vec<CallTie> = (1..CALLS).map(|n| below(n, n - 1)).collect();
    chain.push(below(0, CALLS - 1));
    for (ties, shown) in [(pairs, CALLS / 2), (chain, 1)] {
        let started = std::time::Instant::now();
        let hidden = decide(&calls, &ties).hidden.len();
        assert_eq!(hidden as u128, CALLS - shown);
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
    }
}

#[test]
fn a_servers_view_belongs_to_the_caller_of_its_tool_that_called_last() {
    let within = |call, other| CallTie {
        kind: TieKind::Within,
        ..below(call, other)
    };
    let at = |started_at, call| CallView { started_at, ..call };
    let server = CallView {
        view: -3,
        ..tool(9, "tools/call f")
    };
    let callers = [at(5, tool(1, "mcp__x__f")), at(7, tool(2, "mcp__x__f"))];
    let other = at(8, tool(3, "g"));
    let calls = [callers.as_slice(), &[other, failed(server)]].concat();
    let ties = [within(9, 1), within(9, 2), within(9, 3)];
    let shown = decided(&calls, &ties);
    assert_eq!(hidden(&shown), [9]);
    assert_eq!(shown.filled.len(), 1);
    assert_eq!(
        (shown.filled[0].id, shown.filled[0].failure_of),
        (id(2), Some(id(9)))
    );
}
