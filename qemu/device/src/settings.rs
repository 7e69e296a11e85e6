// SPDX-License-Identifier: GPL-2.0

//! What the controller is like, if it is honest.

use serde::{Deserialize, Serialize};

/// A namespace.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamespaceSettings {
    /// Its identifier.
    pub id: u32,
    /// Its size in MiB.
    pub mib: u32,
    /// The formats that it supports, as logarithms of the bytes in a block (LBADS).
    pub formats: Vec<u8>,
    /// The index of the format that it has.
    pub format: u8,
}

impl Default for NamespaceSettings {
    fn default() -> Self {
        NamespaceSettings {
            id: 1,
            mib: 64,
            formats: vec![9, 12],
            format: 0,
        }
    }
}

/// What the controller is like.
///
/// QEMU reads what the PCI function consists of once. The rest can be changed at run time: a
/// register or a data structure has it at once, and the driver when it reads that anew.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The PCI function: its vendor.
    pub vendor: u16,
    /// The PCI function: its device id.
    pub device: u16,
    /// The PCI function: the size of BAR 0.
    pub bar: u64,
    /// The PCI function: whether it has a pin (INTA).
    pub intx: bool,
    /// The PCI function: the number of its MSI messages, a power of two; 0 for no MSI.
    pub msi: u16,
    /// The PCI function: the number of its MSI-X vectors; 0 for no MSI-X.
    pub msix: u16,
    /// The PCI function: the MiB of the controller memory buffer, a power of two; 0 for none.
    pub cmb_mib: u32,
    /// The PCI function: whether it has the PCI Express capability, and so FLR.
    pub express: bool,

    /// CAP.MQES, the most entries of a queue, less one.
    pub mqes: u16,
    /// CAP.TO, in units of 500 ms.
    pub timeout: u8,
    /// CAP.DSTRD, the logarithm of the dwords from a doorbell to the next one.
    pub stride: u8,
    /// CAP.MPSMIN.
    pub page_min: u8,
    /// CAP.MPSMAX.
    pub page_max: u8,
    /// Whether the controller memory buffer is one of before revision 1.4, without CMBMSC.
    pub legacy_cmb: bool,
    /// CAP.NSSRS, whether the subsystem can be reset.
    pub subsystem_reset: bool,
    /// VS.
    pub version: u32,
    /// How long the controller takes to become ready, in ms.
    pub ready_ms: u64,

    /// The number of I/O queue pairs.
    pub queues: u16,
    /// Identify: MDTS.
    pub mdts: u8,
    /// Identify: CNTLID.
    pub controller_id: u16,
    /// Identify: ACL, the most Abort commands at a time, less one.
    pub abort_limit: u8,
    /// Identify: AERL, the most Asynchronous Event Requests at a time, less one.
    pub event_limit: u8,
    /// Identify: SGLS; 0 for a controller that knows no SGLs.
    pub sgls: u32,
    /// Identify: HMPRE, the preferred size of the host memory buffer, in units of 4 KiB.
    pub hmb_preferred: u32,
    /// Identify: HMMIN, its minimum size, in units of 4 KiB.
    pub hmb_minimum: u32,
    /// Identify: HMMINDS, the least size of one of its ranges, in units of 4 KiB; 0 for any.
    pub hmb_smallest: u32,
    /// Identify: HMMAXD, the most ranges that it has; 0 for any number.
    pub hmb_most: u16,
    /// Identify: the number of power states. All but the first are non-operational.
    pub power_states: u8,
    /// Identify: APSTA, whether the controller leaves power states by itself.
    pub autonomous_power: bool,
    /// Identify: whether there is a volatile write cache.
    pub write_cache: bool,
    /// Identify: whether there is Doorbell Buffer Config.
    pub shadow_doorbells: bool,
    /// Whether the controller tells the host not to ring doorbells that have a shadow, and
    /// looks at the shadows now and then.
    pub late_doorbells: bool,
    /// The serial number.
    pub serial: String,
    /// The namespaces.
    pub namespaces: Vec<NamespaceSettings>,

    /// The seed of all that is random.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            vendor: 0x1b36,
            device: 0x0010,
            bar: 0x4000,
            intx: true,
            msi: 0,
            msix: 32,
            cmb_mib: 0,
            express: true,
            mqes: 255,
            timeout: 20,
            stride: 0,
            page_min: 0,
            page_max: 4,
            legacy_cmb: false,
            subsystem_reset: false,
            version: 0x10400,
            ready_ms: 0,
            queues: 16,
            mdts: 7,
            controller_id: 1,
            abort_limit: 3,
            event_limit: 3,
            sgls: 0,
            hmb_preferred: 0,
            hmb_minimum: 0,
            hmb_smallest: 0,
            hmb_most: 0,
            power_states: 1,
            autonomous_power: false,
            write_cache: true,
            shadow_doorbells: false,
            late_doorbells: true,
            serial: "device-1".into(),
            namespaces: vec![NamespaceSettings::default()],
            seed: 1,
        }
    }
}

impl Settings {
    /// Changes those settings that are in the object `changes`.
    pub fn change(&mut self, changes: serde_json::Value) -> Result<(), String> {
        let serde_json::Value::Object(changes) = changes else {
            return Err("settings are an object".into());
        };
        let mut all = serde_json::to_value(&*self).map_err(|error| error.to_string())?;
        for (key, value) in changes {
            all[key] = value;
        }
        *self = serde_json::from_value(all).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Returns the number of interrupt vectors that a completion queue may have.
    pub fn vectors(&self) -> u16 {
        self.msix.max(self.msi).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_leaves_the_rest() {
        let mut settings = Settings::default();
        settings.change(json!({"stride": 2})).unwrap();
        assert_eq!(
            settings,
            Settings {
                stride: 2,
                ..Settings::default()
            }
        );
    }

    #[test]
    fn what_is_unknown_is_refused_and_changes_nothing() {
        let mut settings = Settings::default();
        assert!(settings.change(json!({"stride": 2, "strides": 3})).is_err());
        assert!(settings.change(json!({"mdts": -1})).is_err());
        assert_eq!(settings, Settings::default());
    }
}
