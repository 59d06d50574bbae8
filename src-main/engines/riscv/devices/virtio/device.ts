/** A virtio device behind its registers, on the I/O thread. */
export interface VirtioDevice {
  /** Does what has been asked since last time; called whenever the doorbell rang. */
  service(): void;
}
