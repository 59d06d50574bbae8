/**
 * What the main thread says to the switch thread and what it hears back: plain data, one reply
 * per request. LANs and ports are named by small numbers that the main thread hands out.
 */
import type { Lease } from './leases.ts';

export interface ServicesConfig {
  dhcp: boolean;
  dns: boolean;
}

export interface LanConfig {
  lan: number;
  name: string;
  /** Address of a /24 as a number; the LAN's own host is the first address in it. */
  network: number;
  services: ServicesConfig;
  /** Locally administered address of the LAN's own host, as a 48-bit number. */
  hostMac: number;
}

export interface PortConfig {
  port: number;
  lan: number;
  fd: number;
  machineName: string;
  mac: number;
  /** What it holds from an earlier switch; taken over if nobody else has it. */
  heldAddress?: number;
  up: boolean;
}

export type Control =
  | { kind: 'add-lan'; config: LanConfig }
  | { kind: 'remove-lan'; lan: number }
  | { kind: 'set-services'; lan: number; services: ServicesConfig }
  | { kind: 'attach'; config: PortConfig }
  | { kind: 'detach'; port: number }
  | { kind: 'set-up'; port: number; up: boolean }
  | { kind: 'set-name'; port: number; machineName: string }
  | { kind: 'addresses'; lan: number };

export type Request = Control & { id: number };

export type Reply =
  | { kind: 'done'; id: number; result?: unknown }
  | { kind: 'failed'; id: number; message: string };

/** Told without being asked. */
export type Notice =
  | { kind: 'closed'; port: number }
  | { kind: 'leases'; lan: number; leases: Lease[]; nowMs: number };
