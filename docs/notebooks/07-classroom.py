# %% [markdown]
# # For the classroom: what does a network see?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfviz/tfviz/blob/main/docs/notebooks/07-classroom.ipynb)
#
# Eight questions about what the units of a network respond to. Answer each by changing a
# line and running its cell; our answer is folded below it.
#
# It runs in about 1 to 2 minutes on two processor cores. No graphics card is needed.

# %%
import os
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # no messages of TensorFlow's start
if "google.colab" in sys.modules:
    source = "tfviz[report] @ git+https://github.com/tfviz/tfviz"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

# %%
import numpy as np

import tfviz
from tfviz import objectives, params, transforms

model = tfviz.adapt(tfviz.load_model("squeezenet"))
size = params.fourier(128, 128)


def show(*units, param=size, **options):
    """Render units, and return a figure of their pictures."""
    return tfviz.render(model, list(units), param, **options).plot(
        columns=min(4, len(units))
    )


# %% [markdown]
# Run each cell with Shift + Enter. After *Now you*, change the line that is marked with
# `# <-` and run the cell again. Write your answer down *before* you unfold ours.
#
# ## 1. What is a channel?
#
# An image goes through the network layer by layer. In each layer, many *channels* look for
# something everywhere in the image. `fire2:3` is channel 3 of the layer `fire2`, an early
# one; `fire9` is the last of these layers.

# %%
show("fire2:3", "fire3:5", "fire5:8", "fire9:7")

# %% [markdown]
# **Question 1.** How do the pictures change from the early to the late layer?
# *Now you:* look at four other channels. Does your answer still hold?

# %%
channels = (10, 20, 30, 40)  # <- numbers from 0 to 127
show(
    f"fire2:{channels[0]}",
    f"fire3:{channels[1]}",
    f"fire5:{channels[2]}",
    f"fire9:{channels[3]}",
)

# %% [markdown]
# <details><summary>Answer 1</summary>
#
# Early channels look for something simple that repeats: strokes of one direction,
# a colour, dots. Later ones look for textures, and then for parts of things, such as eyes
# or fur, which are larger. Each layer can only use what the one before it has found, and
# sees a larger part of the image. If a picture of yours was grey, the channel is *dead*
# for this kind of image, and tfviz warned you.
#
# </details>
#
# ## 2. Can you read a class?
#
# The last layer of the network has one number for each of 1,000 classes. Here are four, without their
# names.

# %%
classes = (1, 291, 402, 949)
figure = show(*(f"logit:{number}" for number in classes))
for place, axes in enumerate(figure.axes):
    axes.set_title(f"class {place + 1}")
figure

# %% [markdown]
# **Question 2.** Which four things are these? What in the picture told you?

# %%
[model.class_name(number) for number in classes]

# %% [markdown]
# <details><summary>Answer 2</summary>
#
# Goldfish, lion, acoustic guitar and strawberry. Fins, a mane and seeds give them away. The
# guitar is the hardest: strings, frets and round bodies, in pieces. Parts may appear
# several times and in strange places: the network collects evidence, and nothing stops it
# from seeing two fish in one.
#
# </details>
#
# ## 3. Is it the unit, or chance?
#
# A picture starts from random numbers. Another `seed` gives other numbers.

# %%
seeds = (0, 1, 2)  # <- any whole numbers
pictures = [
    tfviz.render(model, "logit:lion", size, seed=seed).images[0] for seed in seeds
]
tfviz.images.sheet(pictures, [f"seed {seed}" for seed in seeds], 3)

# %% [markdown]
# **Question 3.** What is the same in all pictures, and what is not? Which of the two says
# something about the network?
#
# <details><summary>Answer 3</summary>
#
# The fur, its colours and the faces return; their places and number do not. Only what
# returns belongs to the unit. One picture alone cannot tell you which is which. That is why
# scientists make several.
#
# </details>
#
# ## 4. How long does it take?
#
# **Question 4.** After how many steps can you tell what the picture shows? Does it get
# better and better after that? *Now you:* choose other numbers of steps.

# %%
counts = (4, 16, 64, 200)  # <-
results = [tfviz.render(model, "logit:goldfish", size, steps=count) for count in counts]
captions = [
    f"{count} steps: {result.scores[0]:.0f}"
    for count, result in zip(counts, results, strict=True)
]
tfviz.images.sheet([result.images[0] for result in results], captions, 4)

# %% [markdown]
# <details><summary>Answer 4</summary>
#
# Orange appears within the first steps, fish after some tens of them. From then on, the
# score still rises, but the picture mostly gains contrast. A higher score is not
# the same as a picture that tells more.
#
# </details>
#
# ## 5. Why are the images moved about?
#
# Before each step the image is moved, turned and scaled a little. And what is optimized is
# not the pixels but the waves that they consist of. Here both are turned off.

# %%
result = tfviz.render(
    model,
    "logit:goldfish",
    params.pixels(128, 128),  # <- or size
    transforms.none(),  # <- or transforms.distill()
)
result.plot(size=3)

# %% [markdown]
# **Question 5.** The score in the title is high: the network is *more* certain of a
# goldfish than with the pictures above. Is there a goldfish? What does that say
# about the network? *Now you:* turn on one of the two, then both.
#
# <details><summary>Answer 5</summary>
#
# There is no goldfish to be seen, and the network is certain of one. So the network can
# be fooled by patterns that mean nothing to us (*adversarial examples* use
# this). Moving the image destroys patterns that only work at one exact place, and waves
# make smooth patterns as easy to reach as fine ones. We leave out what we cannot read.
# That makes the pictures useful, and it is also a choice that *we* made.
#
# </details>
#
# ## 6. Two at once
#
# **Question 6.** Before you run the cell: what will the sum of two classes look like? A
# mixture, or two things side by side? *Now you:* choose other classes.

# %%
first, second = "goldfish", "strawberry"  # <- or lion, orange, zebra, tabby, ...
a, b = objectives.logit(first), objectives.logit(second)
tfviz.render(model, [a, b, a + b], size).plot(columns=3)

# %% [markdown]
# <details><summary>Answer 6</summary>
#
# Neither is certain. Some parts may be of one class, some of the other, and what the two have
# in common grows strong. But only the *sum* counts, and it can be split in any way:
# here the fish takes most of it. Compare the score of the sum with the other two.
#
# </details>
#
# ## 7. Colour, shape or place?
#
# A picture shows what excites a unit, but not *which part* of it does. To find out, change
# one thing at a time, and ask the network again.

# %%
name = "goldfish"  # <- or strawberry, zebra, lion, ...
picture = tfviz.render(model, f"logit:{name}", size).images[0]
squares = picture.reshape(4, 32, 4, 32, 3).swapaxes(1, 2).reshape(16, 32, 32, 3)
mixed = np.random.default_rng(0).permutation(squares).reshape(4, 4, 32, 32, 3)
versions = {
    "as it is": picture,
    "without colour": picture.mean(axis=-1, keepdims=True).repeat(3, axis=-1),
    "red and blue swapped": picture[..., ::-1],
    "upside down": picture[::-1],
    "in pieces": mixed.swapaxes(1, 2).reshape(128, 128, 3),
    "only orange": np.full((128, 128, 3), (1, 0.5, 0), np.float32),
}
index = model.class_index(name)
for version, logits in zip(
    versions, np.asarray(model.logits(np.stack(list(versions.values())))), strict=True
):
    place = int((logits > logits[index]).sum()) + 1
    print(f"{version:22} logit {logits[index]:6.1f}, place {place} of 1000")
tfviz.images.sheet(list(versions.values()), list(versions), 6)

# %% [markdown]
# **Question 7.** Does the network need the colour of the picture? The shape? The right way
# up? Does a colour alone suffice? *Now you:* try another class.
#
# <details><summary>Answer 7</summary>
#
# Every change costs a large part of the logit. Without colour, or upside down, about a
# quarter is left; in pieces, an eighth. And yet *goldfish* stays among the first few places:
# no single one of colour, shape and direction is needed. Plain orange, in contrast, says
# nothing at all. So the unit responds to parts that fit together, best in their colours and
# the right way up, and a colour alone is no such part. Did you guess that from the picture?
#
# </details>
#
# ## 8. Invent an experiment
#
# **Question 8.** Choose a class. Which feature do you believe the network uses for it?
# Make a picture that supports your idea, and an image, as in question 7, that could show
# that you are wrong.

# %%
show("logit:zebra")  # <-

# %% [markdown]
# <details><summary>A possible answer 8</summary>
#
# *Zebra*: stripes. To test this, draw black and white stripes with
# `np.where(np.arange(128) // 8 % 2, 1.0, 0.0)`, fill an image with them, and look at the
# place of *zebra*. Then turn the stripes, make them thinner, or colour them: a good test
# changes one thing at a time.
#
# </details>
#
# For teachers: all pictures are made anew in each run, and with equal seeds they are the
# same for the whole class, on one kind of machine. More to explore:
# [the tour](01-tour-of-the-article.ipynb), and [a network that you train
# yourself](02-your-own-model.ipynb).
