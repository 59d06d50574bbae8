/** Who is plugged into a LAN: the machine, its card and the port of the switch, if it is up. */
import type { MachineView, NicView } from '@contract/machine.ts';
import type { NetworkView } from '@contract/things.ts';
import { portKey, type LanSample, type PortRate } from '../../state/rates.ts';

export type Member = {
  machine: MachineView;
  nic: NicView;
  port: NetworkView['ports'][number] | undefined;
};

export function membersOf(network: NetworkView, machines: readonly MachineView[]): Member[] {
  return machines.flatMap((machine) =>
    machine.nics
      .filter((nic) => nic.network === network.name || nic.network === network.id)
      .map((nic) => ({
        machine,
        nic,
        port: network.ports.find((port) =>
          port.nic === nic.id && (port.machine === machine.name || port.machine === machine.id)),
      })),
  );
}

/** What a member moves in one sample; nothing while it is not plugged in. */
export function rateOf({ port }: Member, sample: LanSample | undefined): PortRate {
  return (port && sample?.ports.get(portKey(port))) ?? { received: 0, sent: 0 };
}
