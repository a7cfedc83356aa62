//! The end-to-end suite on a real Apache Kafka, and nodes that other people's clients could be: scripts with a stock
//! Kafka client. Needs the feature `kafka-suite`, Java, Maven, and a Python with kafka-python or confluent-kafka.

mod harness;
mod suite;
#[path = "suite/topics.rs"]
mod topics;

suite::instantiate!(crate::harness::Broker::kafka(), crate::harness::Broker::own_kafka());

mod python {
    //! Peers in Python, on a stock client.

    #[test]
    fn a_stock_driver_runs_with_our_orchestrator() {
        crate::suite::python::driver(&crate::harness::Broker::kafka());
    }

    #[test]
    fn a_stock_orchestrator_drives_our_driver() {
        crate::suite::python::orchestrator(&crate::harness::Broker::kafka());
    }
}
