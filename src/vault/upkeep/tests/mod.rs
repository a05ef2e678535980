//! A model of the protocol: two writers, a keeper, a pruner, somebody with a writer's key and role, and a thief who deletes
//! whatever no lock holds, over every order of their steps within small bounds.
//!
//! What is decided is decided by the functions that the code uses: retention ([`LockPolicy`](crate::model::LockPolicy)),
//! what a run may lean on (`Locking`), which headers are believed (`judge`, `settle`, `wrong`), what is extended and to when
//! (`wanted`, `Needs`, `candidates`, `due_until`), what goes (`choose`, `free_from`), and what holds (`Holds`, `agreed`).
//! The store, and the steps between these, are the model's own. [`rule`] has each decision once, and the mutants of it.

mod check;
mod edges;
mod laws;
mod moves;
mod rule;
mod world;
