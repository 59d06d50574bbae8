/** What the shell around the window does for views. */
export { openLink, popOut } from '../client/shell.ts';
