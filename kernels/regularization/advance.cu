// frame = frame + 1
//
// Layout: frame is one number.
// Idea:   the number of the frame, for random masks, lives on the device, so the host has nothing to do per frame. One
//         thread, beside the work that follows the mask.
// Floor:  8 bytes.

extern "C" __global__ void advance(unsigned int* frame) { *frame += 1u; }
