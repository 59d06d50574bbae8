/**
 * The contract's number, raised when a client of the number before would misunderstand us.
 *  1  the first: machines, consoles, disks, networks, images, kernels, jobs.
 */
export const contractVersion = 1;
