//! Findings as JUnit XML, so that a CI system shows an audit as it shows tests.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::text::{facts, headline, printable};
use super::{Document, Summary, advice};
use crate::model::finding::State;

pub(super) fn print(findings: &[Document], summary: Option<&Summary>, out: &mut dyn Write) -> io::Result<()> {
    let mut suites: Vec<TestSuite> = Vec::new();
    for finding in findings {
        let name = printable(&finding.pipeline);
        let index = suites.iter().position(|suite| suite.name.as_str() == name).unwrap_or_else(|| {
            suites.push(TestSuite::new(name.as_ref()));
            suites.len() - 1
        });
        suites[index].add_test_case(case(finding));
    }
    let mut report = Report::new("afterimage");
    report.add_test_suites(suites);
    if let Some(summary) = summary {
        report.add_test_suite(audit(summary));
    } else if findings.is_empty() {
        report.add_test_suite(passed("findings", "no findings"));
    }
    report.serialize(&mut *out).map_err(io::Error::other)?;
    writeln!(out)
}

fn case(finding: &Document) -> TestCase {
    let mut case = TestCase::new(headline(finding), status(finding));
    case.set_classname(printable(finding.table.as_deref().unwrap_or(&finding.pipeline)).as_ref());
    case
}

/// What is true now fails; what is suspected, over or set aside is skipped, with its state.
fn status(finding: &Document) -> TestCaseStatus {
    match finding.state {
        State::Open | State::Acknowledged => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let facts = facts(finding).into_iter().map(|(label, fact)| format!("{label}: {fact}\n"));
            let advice = advice::advice(finding.kind, finding.cause);
            status.set_type(finding.kind.word()).set_message(printable(&finding.evidence).as_ref());
            status.set_description(facts.chain([advice]).collect::<String>());
            status
        }
        State::Suspected | State::Ignored | State::Healed | State::Retracted => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(finding.state.word());
            status
        }
    }
}

fn audit(summary: &Summary) -> TestSuite {
    if summary.complete {
        return passed("audit", "every key has its verdict");
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("incomplete").set_message(summary.sentence());
    let mut suite = TestSuite::new("audit");
    suite.add_test_case(TestCase::new("every key has its verdict", status));
    suite
}

fn passed(suite: &str, case: &str) -> TestSuite {
    let mut suite = TestSuite::new(suite);
    suite.add_test_case(TestCase::new(case, TestCaseStatus::success()));
    suite
}
