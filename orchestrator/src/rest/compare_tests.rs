//! `GET /v1/compare` against a fake brain.

use serde_json::json;

use super::fake::TEST_ID;
use super::tests::{get, idle};

#[tokio::test]
async fn two_tests_are_compared_by_their_names() {
    let path = format!("/v1/compare?a={TEST_ID}&b={TEST_ID}&skip=4&gate=p99%3C%2B5%25,rate%3E-3%25");
    let answer = get(&idle(), &path).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let view = answer.json();
    assert_eq!((&view["a"]["name"], &view["b"]["seconds"]), (&json!(TEST_ID), &json!(60)));
    let gates: Vec<&str> =
        view["gates"].as_array().expect("a list").iter().filter_map(|g| g["gate"].as_str()).collect();
    assert_eq!(gates, ["p99<+5%", "rate>-3%"]);
    get(&idle(), &format!("/v1/compare?a={TEST_ID}&b=nobody")).await.problem(404);
}

#[tokio::test]
async fn every_wrong_parameter_of_a_comparison_is_named() {
    let fields = |problem: serde_json::Value| {
        let errors = problem["errors"].as_array().expect("a list").clone();
        errors.iter().filter_map(|error| error["field"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let problem = get(&idle(), "/v1/compare?skip=-1&gate=p99%3C5ms&c=1").await.problem(422);
    assert_eq!(fields(problem), ["c", "a", "b", "skip", "gate"]);
    let many = ["p99%3C5%25"; 21].join(",");
    let problem = get(&idle(), &format!("/v1/compare?a={TEST_ID}&b={TEST_ID}&gate={many}")).await.problem(422);
    assert_eq!(fields(problem), ["gate"]);
}
