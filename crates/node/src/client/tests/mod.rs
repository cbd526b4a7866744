//! The client against replicas that are scripted, over real connections.

mod ask;
mod seam;
mod submit;
mod world;
