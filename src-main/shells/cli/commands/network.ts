/** Commands about virtual LANs. */
import type { Commands } from '../main.ts';
import { bytes, json, say, table } from '../print.ts';

export const networkCommands: Commands = {
  'network ls': {
    usage: 'network ls',
    about: 'List the virtual LANs and who is on them',
    words: [0, 0],
    run: async (client, { values }) => {
      const networks = await client.call('network.list', {});
      if (values['json']) return json(networks);
      table(
        ['name', 'subnet', 'dhcp', 'dns', 'machines', 'traffic'],
        networks.map((network) => [
          network.name,
          network.subnet,
          network.services.dhcp ? 'on' : 'off',
          network.services.dns ? 'on' : 'off',
          network.ports.map((port) => port.machine).join(' ') || '-',
          bytes(network.ports.reduce((sum, port) => sum + port.rxBytes, 0)),
        ]),
      );
    },
  },
  'network create': {
    usage: 'network create L [--no-dhcp] [--no-dns]',
    about: 'Make a virtual LAN',
    options: { 'no-dhcp': { type: 'boolean' }, 'no-dns': { type: 'boolean' } },
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const network = await client.call('network.create', {
        name: positionals[0]!,
        dhcp: values['no-dhcp'] !== true,
        dns: values['no-dns'] !== true,
      });
      if (values['json']) json(network);
      else say(`Made ${network.name}: ${network.subnet}.`);
    },
  },
  'network rm': {
    usage: 'network rm L',
    about: 'Delete a LAN that nobody is connected to',
    words: [1, 1],
    run: async (client, { positionals }) => {
      await client.call('network.remove', { network: positionals[0]! });
    },
  },
  'network connect': {
    usage: 'network connect M L',
    about: 'Plug a machine into a LAN, running or not',
    words: [2, 2],
    run: async (client, { positionals, values }) => {
      const [machine, network] = positionals as [string, string];
      const view = await client.call('network.connect', { machine, network });
      if (values['json']) json(view);
    },
  },
  'network disconnect': {
    usage: 'network disconnect M L',
    about: 'Unplug a machine from a LAN',
    words: [2, 2],
    run: async (client, { positionals, values }) => {
      const [machine, network] = positionals as [string, string];
      const view = await client.call('network.disconnect', { machine, network });
      if (values['json']) json(view);
    },
  },
};
