// Records measures what many subscription records cost, on the built orderbridge
// with a NATS server in a process of its own and two replicas:
//
//   - how fast verdicts come when all are put at once, and what is used when
//     nothing happens afterwards
//   - a take-over while events come: by kill -9, by a graceful stop, by a restart
//     of the only replica; how long it takes from the won lease to the first delivery
//   - the resident size of both replicas meanwhile
//
// It prints figures and judges none.
package main
