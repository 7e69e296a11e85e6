// SPDX-License-Identifier: GPL-2.0

//! Interrupts: MSI-X, MSI with one or several messages, and the pin.

use std::io::Write;

/// What carries an interrupt to the host.
pub trait Wire: Send {
    /// Interrupts the host.
    fn signal(&mut self);
}

impl Wire for std::fs::File {
    fn signal(&mut self) {
        // An event that is full has been signalled.
        let _ = self.write_all(&1u64.to_ne_bytes());
    }
}

/// A kind of interrupt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The pin, whose level is that of the completion queues that have entries.
    Pin,
    /// MSI.
    Msi,
    /// MSI-X.
    Msix,
}

/// The interrupts of a function.
#[derive(Default)]
pub struct Interrupts {
    pin: Option<Box<dyn Wire>>,
    msi: Vec<Option<Box<dyn Wire>>>,
    msix: Vec<Option<Box<dyn Wire>>>,
    /// Whether the pin has interrupted, and the host has not unmasked it since then.
    pin_masked: bool,
    /// INTMS: the vectors that the host has masked, in all kinds but MSI-X.
    masked: u32,
    /// The messages that were to be sent while their vector was masked.
    pending: u32,
}

impl Interrupts {
    /// Connects wires from vector `start` on. No wire disconnects a vector.
    pub fn connect(&mut self, kind: Kind, start: usize, wires: Vec<Option<Box<dyn Wire>>>) {
        let vectors = match kind {
            Kind::Pin => {
                self.pin = wires.into_iter().next().flatten();
                self.pin_masked = false;
                return;
            }
            Kind::Msi => &mut self.msi,
            Kind::Msix => &mut self.msix,
        };
        if vectors.len() < start + wires.len() {
            vectors.resize_with(start + wires.len(), || None);
        }
        for (vector, wire) in vectors[start..].iter_mut().zip(wires) {
            *vector = wire;
        }
    }

    /// Disconnects all vectors of a kind.
    pub fn disconnect(&mut self, kind: Kind) {
        match kind {
            Kind::Pin => self.pin = None,
            Kind::Msi => self.msi.clear(),
            Kind::Msix => self.msix.clear(),
        }
    }

    /// Returns the kind that the host uses, if any.
    pub fn kind(&self) -> Option<Kind> {
        if self.msix.iter().any(Option::is_some) {
            Some(Kind::Msix)
        } else if self.msi.iter().any(Option::is_some) {
            Some(Kind::Msi)
        } else {
            self.pin.as_ref().map(|_| Kind::Pin)
        }
    }

    /// Sends the message of `vector`. Returns whether it was sent: the pin sends none.
    pub fn send(&mut self, vector: u16) -> bool {
        let kind = self.kind();
        let vectors = match kind {
            Some(Kind::Msix) => &mut self.msix,
            Some(Kind::Msi) => &mut self.msi,
            _ => return false,
        };
        // A function that was granted fewer messages sends the ones it has.
        let index = match kind {
            Some(Kind::Msi) => usize::from(vector) % vectors.len(),
            _ => usize::from(vector),
        };
        let bit = 1u32.checked_shl(index as u32).unwrap_or(0);
        if kind == Some(Kind::Msi) && self.masked & bit != 0 {
            self.pending |= bit;
            return false;
        }
        let Some(Some(wire)) = vectors.get_mut(index) else {
            return false;
        };
        wire.signal();
        true
    }

    /// Sets the level of the pin. Returns whether it interrupts.
    pub fn set_level(&mut self, high: bool) -> bool {
        if !high || self.pin_masked || self.masked & 1 != 0 || self.kind() != Some(Kind::Pin) {
            return false;
        }
        let Some(pin) = &mut self.pin else {
            return false;
        };
        pin.signal();
        self.pin_masked = true;
        true
    }

    /// The host masks the pin, or unmasks it. The level is to be set anew then.
    pub fn mask_pin(&mut self, masked: bool) {
        self.pin_masked = masked;
    }

    /// Returns INTMS, which INTMC shows, too.
    pub fn masked(&self) -> u32 {
        self.masked
    }

    /// Sets bits of INTMS.
    pub fn mask(&mut self, vectors: u32) {
        self.masked |= vectors;
    }

    /// Clears bits of INTMS, and sends what was to be sent. The level is to be set anew then.
    pub fn unmask(&mut self, vectors: u32) {
        self.masked &= !vectors;
        let due = self.pending & !self.masked;
        self.pending &= !due;
        for vector in 0..32 {
            if due >> vector & 1 != 0 {
                self.send(vector);
            }
        }
    }

    /// The controller is reset.
    pub fn reset(&mut self) {
        self.masked = 0;
        self.pending = 0;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    };

    /// A wire that counts.
    #[derive(Clone, Default)]
    pub(crate) struct Counter(Arc<AtomicUsize>);

    impl Counter {
        pub(crate) fn wire(&self) -> Option<Box<dyn Wire>> {
            Some(Box::new(self.clone()))
        }
        pub(crate) fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wire for Counter {
        fn signal(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn connected(kind: Kind, vectors: usize) -> (Interrupts, Vec<Counter>) {
        let wires: Vec<Counter> = (0..vectors).map(|_| Counter::default()).collect();
        let mut interrupts = Interrupts::default();
        interrupts.connect(kind, 0, wires.iter().map(Counter::wire).collect());
        (interrupts, wires)
    }

    #[test]
    fn a_vector_has_its_message() {
        let (mut interrupts, wires) = connected(Kind::Msix, 3);
        assert!(interrupts.send(2));
        assert!(!interrupts.send(3));
        assert_eq!([0, 1, 2].map(|n| wires[n].count()), [0, 0, 1]);
        interrupts.disconnect(Kind::Msix);
        assert!(!interrupts.send(2));
    }

    #[test]
    fn intms_holds_messages_back_but_those_of_msix() {
        let (mut interrupts, wires) = connected(Kind::Msi, 2);
        interrupts.mask(2);
        assert!(!interrupts.send(1));
        assert!(interrupts.send(0));
        interrupts.unmask(2);
        assert_eq!(wires[1].count(), 1);
        interrupts.unmask(2);
        assert_eq!(wires[1].count(), 1);

        let (mut interrupts, wires) = connected(Kind::Msix, 2);
        interrupts.mask(2);
        assert!(interrupts.send(1));
        assert_eq!(wires[1].count(), 1);
    }

    #[test]
    fn one_message_is_that_of_all_vectors() {
        let (mut interrupts, wires) = connected(Kind::Msi, 1);
        assert!(interrupts.send(5));
        assert_eq!(wires[0].count(), 1);
    }

    #[test]
    fn the_pin_interrupts_again_if_it_is_high_when_unmasked() {
        let (mut interrupts, wires) = connected(Kind::Pin, 1);
        assert!(!interrupts.send(0));
        assert!(interrupts.set_level(true));
        assert!(!interrupts.set_level(true));
        interrupts.mask_pin(false);
        assert!(!interrupts.set_level(false));
        assert!(interrupts.set_level(true));
        interrupts.mask_pin(false);
        interrupts.mask(1);
        assert!(!interrupts.set_level(true));
        interrupts.unmask(1);
        assert!(interrupts.set_level(true));
        assert_eq!(wires[0].count(), 3);
    }

    #[test]
    fn msix_is_used_if_the_pin_is_connected_too() {
        let (mut interrupts, wires) = connected(Kind::Msix, 1);
        let pin = Counter::default();
        interrupts.connect(Kind::Pin, 0, vec![pin.wire()]);
        assert!(!interrupts.set_level(true));
        assert!(interrupts.send(0));
        assert_eq!((wires[0].count(), pin.count()), (1, 0));
    }
}
