/**
 * What the switch counted, in memory that the switch thread writes and everybody else reads
 * without asking. One row per port number and one per LAN row, each of `columns` doubles.
 * Directions are the switch's: `rx` is what the machine sent into the LAN, `tx` what it was given.
 * A reader may see a row between two of its updates, never a torn number.
 */
import { portsMax } from './switch.ts';

export interface TrafficCounters {
  rxFrames: number;
  rxBytes: number;
  /** Frames of the machine that were broken: too short, too long, an impossible sender. */
  rxDropped: number;
  txFrames: number;
  txBytes: number;
  /** Frames for the machine that it did not take in time, or at all. */
  txDropped: number;
  /** Both kinds together. */
  dropped: number;
}

export const columns = 8;
export const lansMax = 256;
export const column = {
  rxFrames: 0, rxBytes: 1, rxDropped: 2, txFrames: 3, txBytes: 4, txDropped: 5,
} as const;

export const countersBytes = (portsMax + lansMax) * columns * 8;

/** Index of a port's first column. */
export function portRow(port: number): number {
  return port * columns;
}

export function lanRow(lan: number): number {
  return (portsMax + lan) * columns;
}

export function readCounters(cells: Float64Array, row: number): TrafficCounters {
  return {
    rxFrames: cells[row + column.rxFrames]!,
    rxBytes: cells[row + column.rxBytes]!,
    rxDropped: cells[row + column.rxDropped]!,
    txFrames: cells[row + column.txFrames]!,
    txBytes: cells[row + column.txBytes]!,
    txDropped: cells[row + column.txDropped]!,
    dropped: cells[row + column.rxDropped]! + cells[row + column.txDropped]!,
  };
}
