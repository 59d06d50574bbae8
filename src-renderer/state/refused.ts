/** A refusal as views show it. */
export { refused, type Refused } from '../client/connect.ts';
