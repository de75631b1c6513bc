"""The `tfviz` command.

TensorFlow and other large packages are imported only after the arguments have been
checked, so that help texts and error messages appear at once.
"""

import click

import tfviz
from tfviz._errors import speaking
from tfviz.cli.atlas import atlas
from tfviz.cli.compare import compare
from tfviz.cli.dream import dream
from tfviz.cli.examples import examples
from tfviz.cli.help import Group
from tfviz.cli.measure import calibrate, levels
from tfviz.cli.models import check, layers, top
from tfviz.cli.option_names import write_option
from tfviz.cli.priors import priors
from tfviz.cli.render import demo, render

# The commands by what they are about, as the help lists them.
_HEADINGS = {
    "Pictures": (demo, render, dream, atlas),
    "Models": (layers, check, top, levels, examples),
    "Priors": (priors, calibrate),
    "Comparison": (compare,),
}


@click.group(
    cls=Group,
    headings={
        heading: [str(command.name) for command in commands]
        for heading, commands in _HEADINGS.items()
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(tfviz.__version__, prog_name="tfviz")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Visualize what the units of a Keras model respond to.

    A unit is a channel, a neuron, a layer or a class. `tfviz COMMAND -h` shows the
    most used options of a command, `tfviz COMMAND --help` all of them.

    \b
    tfviz demo -o demo
    tfviz render fire8:20 logit:goldfish -o out
    tfviz layers -m keras:MobileNetV2
    """
    # Also while the arguments of the command are read.
    ctx.with_resource(speaking(write_option))


for commands in _HEADINGS.values():
    for command in commands:
        main.add_command(command)
