//! The page in a real browser, served by the real daemon.

mod accessible;
mod alive;
mod browser;
mod changed;
mod decisions;
mod hostile;
mod large;
mod list;
mod login;
mod one_run;
mod placed;
mod served;
mod several;
mod truthful;
mod webdriver;
mod world;
