/** What stands in a menu, whichever way it is opened. */
import type { Component } from 'svelte';

export type MenuItem =
  | 'line'
  | {
      label: string;
      icon?: Component<{ size?: number | string }>;
      keys?: string;
      danger?: boolean;
      disabled?: boolean;
      run: () => void;
    };
